#include "shim.h"

int ek_errno(void)
{
	return rte_errno;
}

uint16_t ek_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, packets, count);
}

uint16_t ek_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, packets, count);
}

struct rte_mbuf *ek_mbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

void ek_mbuf_free(struct rte_mbuf *packet)
{
	rte_pktmbuf_free(packet);
}

void ek_mbuf_share(struct rte_mbuf *packet)
{
	rte_pktmbuf_refcnt_update(packet, 1);
}

int ek_mbuf_linearize(struct rte_mbuf *packet)
{
	return rte_pktmbuf_linearize(packet);
}

int ek_link(uint16_t port, struct ek_link *link)
{
	struct rte_eth_link state = {0};
	int error = rte_eth_link_get_nowait(port, &state);

	link->speed_mbps = state.link_speed;
	link->up = state.link_status == RTE_ETH_LINK_UP;
	return error;
}
