//! Why a request, or an attempt of one, came to nothing: the one list of causes.

macro_rules! causes {
    ($($variant:ident $name:literal $help:literal)*) => {
        /// See the module. Each is a counter of routes and of backends, and stands in the access log.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Cause {
            $(#[doc = $help] $variant,)*
        }

        impl Cause {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name of its counter.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One sentence of help.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

causes! {
    Malformed "malformed" "The client's request is malformed."
    HeadTime "head_time" "The head of the request did not come in time."
    ContentTime "content_time" "The content of the request did not come in time."
    NoBackend "no_backend" "There is no backend left to try."
    Busy "busy" "There are too many connections, or too many requests wait for one."
    QueueTime "queue_time" "No connection was free in time."
    Connect "connect" "The backend refused a connection."
    ConnectTime "connect_time" "The backend did not accept a connection in time."
    NoResponse "no_response" "The backend closed or reset the connection before its response began."
    ResponseTime "response_time" "The backend's response did not begin in time."
    BadResponse "bad_response" "The backend's response is malformed."
    Unwelcome "unwelcome" "The backend's response had a status upon which the route tries another one."
    Down "down" "The backend was taken out of service before its response began."
    BackendCut "backend_cut" "The backend closed or reset the connection in the midst of its response."
    ClientGone "client_gone" "The client closed or reset its connection before the response was whole."
    IdleTime "idle_time" "Nothing moved for too long."
    WholeTime "whole_time" "The request took too long as a whole."
}

impl Cause {
    /// What the client is told; the status, and a sentence.
    pub(super) const fn words(self) -> (u16, &'static str) {
        match self {
            Self::Malformed => (400, ""),
            Self::HeadTime | Self::ContentTime => (408, "The request did not come in time."),
            Self::NoBackend => (503, "There is no backend for it."),
            Self::Down => (503, "The backend was taken out of service."),
            Self::Busy | Self::QueueTime => (503, "There are too many requests."),
            Self::Connect => (502, "No backend could be reached."),
            Self::NoResponse | Self::BackendCut | Self::ClientGone => (502, "The backend gave no response."),
            Self::BadResponse | Self::Unwelcome => (502, "The backend's response is malformed."),
            Self::ConnectTime | Self::ResponseTime | Self::IdleTime | Self::WholeTime => {
                (504, "The backend took too long.")
            }
        }
    }

    /// True if no octet of the request has reached a backend.
    pub(super) const fn is_unsent(self) -> bool {
        matches!(self, Self::Connect | Self::ConnectTime)
    }
}
