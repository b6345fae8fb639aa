// SPDX-License-Identifier: Apache-2.0
#include "tests/fake/client_media.h"

#include <string.h>

static enum err start(void *context, uint64_t *epoch_ns)
{
	struct client_media *media = context;
	media->started++;
	*epoch_ns = 1700000000000000000u;
	return ERR_OK;
}

static void force_key_frame(void *context, uint8_t stream)
{
	struct client_media *media = context;
	(void)stream;
	media->key_frames++;
}

static void set_round_trip(void *context, uint64_t round_trip_ns)
{
	struct client_media *media = context;
	media->round_trip_ns = round_trip_ns;
}

static enum err participant_set(void *context, const struct id *participant, uint32_t index, uint64_t epoch_ns, const char *run_text)
{
	struct client_media *media = context;
	(void)participant, (void)index, (void)run_text;
	media->epoch_ns = epoch_ns;
	media->set++;
	return ERR_OK;
}

static void participant_gone(void *context, const struct id *participant)
{
	struct client_media *media = context;
	(void)participant;
	media->gone++;
}

static void receive(void *context, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t now_ns)
{
	struct client_media *media = context;
	uint8_t first[4] = { 0 };
	(void)now_ns;
	memcpy(first, payload, size < sizeof(first) ? size : sizeof(first));
	media->payload_sum += (uint64_t)first[0] << 24 | (uint64_t)first[1] << 16 | (uint64_t)first[2] << 8 | first[3];
	media->last_sequence = rtp->sequence;
	media->last_ssrc = rtp->ssrc;
	media->received++;
}

static size_t stats(void *context, struct media_stream_stats *out, size_t capacity)
{
	(void)context, (void)out, (void)capacity;
	return 0;
}

static void free_media(void *context)
{
	struct client_media *media = context;
	media->freed++;
}

struct session_media client_media_operations(struct client_media *media)
{
	return (struct session_media){ .media = media, .start = start, .force_key_frame = force_key_frame, .set_round_trip = set_round_trip,
				       .participant_set = participant_set, .participant_gone = participant_gone, .receive = receive,
				       .stats = stats, .free = free_media };
}
