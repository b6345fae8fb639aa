// How long the relay kept each media packet, from a capture of its traffic on one device: a packet goes to the relay
// once and leaves it, byte for byte the same, once to each receiver. It needs nobody's clock but the capture's, and
// sees what kernel programs forward as well. SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_TOOLS_TRANSIT_H
#define TESTS_TOOLS_TRANSIT_H

#include "base/packet.h"
#include "tests/tools/pcap.h"
#include "tests/tools/train.h"

enum { TRANSIT_COPIES_MAX = 32 };

struct transit_packet {
	uint64_t hash; // of all of it; 0: free
	uint64_t arrival_ns, first_ns, last_ns;
	uint16_t copies;
	uint16_t to_port[TRANSIT_COPIES_MAX]; // receivers, by port: a second copy to one is a retransmission
};

struct transit {
	uint16_t relay_port;
	struct transit_packet *packets; // hash table, open addressing
	size_t capacity, count;
	uint64_t trains_in, trains_out, packets_in_trains; // trains: several packets captured as one
	uint64_t copies, retransmitted;
	uint64_t strays;                                   // copies of nothing that was seen to arrive
};

struct transit_times { // nanoseconds
	size_t count;      // packets with copies
	uint64_t first_p50, first_p99, last_p50, last_p99, last_max;
};

static inline void transit_fini(struct transit *transit)
{
	free(transit->packets);
	*transit = (struct transit){};
}

static inline struct transit_packet *transit_find(const struct transit *transit, uint64_t hash)
{
	size_t at = hash % transit->capacity;
	while (transit->packets[at].hash && transit->packets[at].hash != hash)
		at = (at + 1) % transit->capacity;
	return &transit->packets[at];
}

static inline enum err transit_grow(struct transit *transit)
{
	struct transit old = *transit;
	if (old.count * 2 < old.capacity)
		return ERR_OK;
	transit->capacity = old.capacity ? old.capacity * 2 : 1 << 14;
	transit->packets = calloc(transit->capacity, sizeof(*transit->packets));
	if (!transit->packets) {
		*transit = old;
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < old.capacity; i++) {
		if (old.packets[i].hash)
			*transit_find(transit, old.packets[i].hash) = old.packets[i];
	}
	free(old.packets);
	return ERR_OK;
}

static inline enum err transit_arrived(struct transit *transit, uint64_t hash, uint64_t time_ns)
{
	enum err err = transit_grow(transit);
	if (err != ERR_OK)
		return err;
	struct transit_packet *packet = transit_find(transit, hash);
	if (packet->hash)
		return ERR_OK; // the network brought it twice: the first one counts
	*packet = (struct transit_packet){ .hash = hash, .arrival_ns = time_ns };
	transit->count++;
	return ERR_OK;
}

static inline void transit_left(struct transit *transit, uint64_t hash, uint16_t to_port, uint64_t time_ns)
{
	struct transit_packet *packet = transit->capacity ? transit_find(transit, hash) : NULL;
	if (!packet || !packet->hash) {
		transit->strays++;
		return;
	}
	for (size_t i = 0; i < packet->copies; i++) {
		if (packet->to_port[i] == to_port) {
			transit->retransmitted++;
			return;
		}
	}
	if (packet->copies == TRANSIT_COPIES_MAX)
		return;
	packet->to_port[packet->copies] = to_port;
	if (packet->copies++ == 0)
		packet->first_ns = time_ns;
	packet->last_ns = time_ns;
	transit->copies++;
}

static inline uint64_t transit_hash(const uint8_t *bytes, size_t size)
{
	static const uint8_t key[PACKET_TAG_KEY_BYTES] = { 1 };
	return packet_siphash(key, bytes, size) | 1; // never 0
}

static inline enum err transit_datagram(struct transit *transit, const struct pcap_datagram *datagram)
{
	size_t each = train_segment_bytes(datagram->payload, datagram->size);
	bool is_arrival = datagram->to_port == transit->relay_port;
	enum err err = ERR_OK;
	if (!is_arrival && datagram->from_port != transit->relay_port)
		return ERR_OK;
	if (each < datagram->size)
		*(is_arrival ? &transit->trains_in : &transit->trains_out) += 1;
	for (size_t at = 0; at < datagram->size && err == ERR_OK; at += each) {
		size_t size = datagram->size - at < each ? datagram->size - at : each;
		struct packet_rtp rtp;
		if (size < PACKET_MEDIA_MIN_BYTES || packet_rtp_parse(datagram->payload + at, size, &rtp) != ERR_OK)
			continue; // hop control
		uint64_t hash = transit_hash(datagram->payload + at, size);
		if (is_arrival) {
			transit->packets_in_trains += each < datagram->size;
			err = transit_arrived(transit, hash, datagram->time_ns);
		} else {
			transit_left(transit, hash, datagram->to_port, datagram->time_ns);
		}
	}
	return err;
}

static inline int transit_compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

// The value below which so many of a hundred are.
static inline uint64_t transit_percentile(const uint64_t *sorted, size_t count, unsigned percent)
{
	return count ? sorted[(count - 1) * percent / 100] : 0;
}

static inline enum err transit_times(const struct transit *transit, struct transit_times *out)
{
	uint64_t *first = calloc(transit->count + 1, sizeof(*first)), *last = calloc(transit->count + 1, sizeof(*last));
	*out = (struct transit_times){};
	for (size_t i = 0; first && last && i < transit->capacity; i++) {
		const struct transit_packet *packet = &transit->packets[i];
		if (packet->copies == 0)
			continue;
		first[out->count] = packet->first_ns > packet->arrival_ns ? packet->first_ns - packet->arrival_ns : 0;
		last[out->count++] = packet->last_ns > packet->arrival_ns ? packet->last_ns - packet->arrival_ns : 0;
	}
	enum err err = first && last ? ERR_OK : ERR_NOMEM;
	if (err == ERR_OK) {
		qsort(first, out->count, sizeof(*first), transit_compare);
		qsort(last, out->count, sizeof(*last), transit_compare);
		out->first_p50 = transit_percentile(first, out->count, 50);
		out->first_p99 = transit_percentile(first, out->count, 99);
		out->last_p50 = transit_percentile(last, out->count, 50);
		out->last_p99 = transit_percentile(last, out->count, 99);
		out->last_max = transit_percentile(last, out->count, 100);
	}
	free(first);
	free(last);
	return err;
}

static inline enum err transit_capture(struct transit *transit, const char *path)
{
	struct pcap pcap;
	struct pcap_datagram datagram;
	enum err err = pcap_read(path, &pcap);
	if (err != ERR_OK)
		return err;
	while (err == ERR_OK && pcap_next(&pcap, &datagram))
		err = transit_datagram(transit, &datagram);
	pcap_fini(&pcap);
	return err;
}

#endif
