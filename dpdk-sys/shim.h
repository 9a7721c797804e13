/* What Rust cannot reach by itself in DPDK's headers: static inline functions, and names that are macros, bit-fields
 * or have moved between releases. Nothing here decides anything. */
#ifndef EVENKEEL_SHIM_H
#define EVENKEEL_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_config.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

/* Offsets in struct rte_mbuf: since 24.03 some of these fields lie in unnamed unions. */
static const size_t EK_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr);
static const size_t EK_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off);
static const size_t EK_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs);
static const size_t EK_MBUF_PORT = offsetof(struct rte_mbuf, port);
static const size_t EK_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags);
static const size_t EK_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len);
static const size_t EK_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len);
static const size_t EK_MBUF_RSS = offsetof(struct rte_mbuf, hash.rss);
static const size_t EK_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len);
static const size_t EK_MBUF_NEXT = offsetof(struct rte_mbuf, next);
static const size_t EK_MBUF_TX_OFFLOAD = offsetof(struct rte_mbuf, tx_offload);

/* Bit positions in rte_mbuf.tx_offload. */
static const uint32_t EK_TX_OFFLOAD_L2_LEN = RTE_MBUF_L2_LEN_OFS;
static const uint32_t EK_TX_OFFLOAD_L3_LEN = RTE_MBUF_L3_LEN_OFS;

/* What the pool keeps for each packet besides its buffer. */
static const uint32_t EK_MBUF_OVERHEAD = sizeof(struct rte_mbuf) + sizeof(struct rte_mempool_objhdr);

static const uint32_t EK_PKTMBUF_HEADROOM = RTE_PKTMBUF_HEADROOM;

/* Bits of rte_mbuf.ol_flags. */
static const uint64_t EK_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t EK_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t EK_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t EK_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t EK_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t EK_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t EK_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t EK_TX_IPV4 = RTE_MBUF_F_TX_IPV4;
static const uint64_t EK_TX_IPV6 = RTE_MBUF_F_TX_IPV6;
static const uint64_t EK_TX_IP_CKSUM = RTE_MBUF_F_TX_IP_CKSUM;
static const uint64_t EK_TX_TCP_CKSUM = RTE_MBUF_F_TX_TCP_CKSUM;
static const uint64_t EK_TX_UDP_CKSUM = RTE_MBUF_F_TX_UDP_CKSUM;
static const uint64_t EK_TX_L4_MASK = RTE_MBUF_F_TX_L4_MASK;

/* Bits of rte_eth_dev_info.rx_offload_capa and tx_offload_capa. */
static const uint64_t EK_ETH_RX_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t EK_ETH_RX_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t EK_ETH_RX_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t EK_ETH_RX_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t EK_ETH_TX_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t EK_ETH_TX_TCP_CKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
static const uint64_t EK_ETH_TX_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;

/* Bits of rte_eth_rss_conf.rss_hf. */
static const uint64_t EK_ETH_RSS_IPV4 = RTE_ETH_RSS_IPV4;
static const uint64_t EK_ETH_RSS_IPV4_TCP = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
static const uint64_t EK_ETH_RSS_IPV4_UDP = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
static const uint64_t EK_ETH_RSS_IPV6 = RTE_ETH_RSS_IPV6;
static const uint64_t EK_ETH_RSS_IPV6_TCP = RTE_ETH_RSS_NONFRAG_IPV6_TCP;
static const uint64_t EK_ETH_RSS_IPV6_UDP = RTE_ETH_RSS_NONFRAG_IPV6_UDP;
static const uint32_t EK_ETH_MQ_RX_NONE = RTE_ETH_MQ_RX_NONE;
static const uint32_t EK_ETH_MQ_RX_RSS = RTE_ETH_MQ_RX_RSS;
static const size_t EK_ETH_RETA_GROUP = RTE_ETH_RETA_GROUP_SIZE;


/* The state of a link, without bit-fields. */
struct ek_link {
	uint32_t speed_mbps; /* UINT32_MAX where the device does not know it */
	bool up;
};

int ek_errno(void);
uint16_t ek_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
uint16_t ek_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count);
struct rte_mbuf *ek_mbuf_alloc(struct rte_mempool *pool);
void ek_mbuf_free(struct rte_mbuf *packet);
void ek_mbuf_share(struct rte_mbuf *packet);
int ek_mbuf_linearize(struct rte_mbuf *packet);
int ek_link(uint16_t port, struct ek_link *link);

#endif
