//! Desired state to snapshots; control socket, neighbours, routes.
