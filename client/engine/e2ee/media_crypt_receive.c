// SPDX-License-Identifier: Apache-2.0
#include "client/engine/e2ee/media_crypt_receive.h"

#include "base/cursor.h"
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

struct generation {
	uint32_t mki;
	struct srtp_box *box; // NULL: none
};

struct stream {
	uint32_t ssrc;
	struct generation present, previous;
};

struct member {
	struct id participant;
	bool is_used, is_here;
	uint32_t index;     // while here
	uint64_t gone_turn; // which one left first
	uint8_t run[E2EE_RUN_BYTES];
	size_t retired_count; // of runs ever replaced; the last MEDIA_CRYPT_RECEIVE_RUNS are remembered
	uint8_t retired[MEDIA_CRYPT_RECEIVE_RUNS][E2EE_RUN_BYTES];
	uint32_t first_mki; // of streams without context: what came before is over
	size_t stream_count;
	struct stream streams[MEDIA_CRYPT_RECEIVE_STREAMS];
};

struct held {
	uint32_t index; // of the sender
	enum counter reason;
	uint16_t size;
	uint64_t arrival_ns, since_ms;
	uint8_t bytes[PACKET_MAX_BYTES];
};

struct media_crypt_receive {
	struct media_crypt_receive_options options;
	uint32_t self;
	uint64_t turn;
	struct member *members; // MEDIA_CRYPT_RECEIVE_MEMBERS
	struct held *held;      // MEDIA_CRYPT_RECEIVE_HELD, oldest first
	size_t held_count;
};

enum err media_crypt_receive_new(const struct media_crypt_receive_options *options, struct media_crypt_receive **out)
{
	struct media_crypt_receive *receive = calloc(1, sizeof(*receive));
	if (!receive)
		return ERR_NOMEM;
	receive->options = *options;
	receive->self = UINT32_MAX;
	receive->members = calloc(MEDIA_CRYPT_RECEIVE_MEMBERS, sizeof(*receive->members));
	receive->held = calloc(MEDIA_CRYPT_RECEIVE_HELD, sizeof(*receive->held));
	if (!receive->members || !receive->held) {
		media_crypt_receive_free(receive);
		return ERR_NOMEM;
	}
	*out = receive;
	return ERR_OK;
}

static void drop_streams(struct member *member)
{
	for (size_t i = 0; i < member->stream_count; i++) {
		srtp_box_free(member->streams[i].present.box);
		srtp_box_free(member->streams[i].previous.box);
	}
	memset(member->streams, 0, sizeof(member->streams));
	member->stream_count = 0;
	member->first_mki = 0;
}

void media_crypt_receive_free(struct media_crypt_receive *receive)
{
	if (!receive)
		return;
	for (size_t i = 0; receive->members && i < MEDIA_CRYPT_RECEIVE_MEMBERS; i++)
		drop_streams(&receive->members[i]);
	free(receive->members);
	free(receive->held);
	free(receive);
}

void media_crypt_receive_set_self(struct media_crypt_receive *receive, uint32_t index)
{
	receive->self = index;
}

static void count(struct media_crypt_receive *receive, enum counter counter)
{
	session_counters_add(receive->options.counters, counter, 1);
}

static struct member *member_at(struct media_crypt_receive *receive, uint32_t index)
{
	for (size_t i = 0; i < MEDIA_CRYPT_RECEIVE_MEMBERS; i++) {
		struct member *member = &receive->members[i];
		if (member->is_here && member->index == index)
			return member;
	}
	return NULL;
}

// The record of a participant: its old one, a free one, or that of who left first.
static struct member *member_of(struct media_crypt_receive *receive, const struct id *participant)
{
	struct member *best = NULL;
	for (size_t i = 0; i < MEDIA_CRYPT_RECEIVE_MEMBERS; i++) {
		struct member *member = &receive->members[i];
		if (member->is_used && text_id_equal(&member->participant, participant))
			return member;
		if (member->is_here)
			continue;
		if (!best || (best->is_used && (!member->is_used || member->gone_turn < best->gone_turn)))
			best = member;
	}
	if (!best)
		return NULL;
	drop_streams(best);
	memset(best, 0, sizeof(*best));
	best->participant = *participant;
	return best;
}

static bool is_retired(const struct member *member, const uint8_t *run)
{
	size_t known = member->retired_count < MEDIA_CRYPT_RECEIVE_RUNS ? member->retired_count : MEDIA_CRYPT_RECEIVE_RUNS;
	for (size_t i = 0; i < known; i++) {
		if (memcmp(member->retired[i], run, E2EE_RUN_BYTES) == 0)
			return true;
	}
	return false;
}

static void leave(struct media_crypt_receive *receive, struct member *member)
{
	member->is_here = false;
	member->gone_turn = ++receive->turn;
}

enum err media_crypt_receive_member(struct media_crypt_receive *receive, uint32_t index, const struct id *participant,
				    const uint8_t run[static E2EE_RUN_BYTES])
{
	struct member *other = member_at(receive, index);
	if (other && !text_id_equal(&other->participant, participant))
		leave(receive, other);
	struct member *member = member_of(receive, participant);
	if (!member) {
		count(receive, COUNTER_member_limit);
		return ERR_LIMIT;
	}
	if (member->is_used && memcmp(member->run, run, E2EE_RUN_BYTES) != 0) {
		if (is_retired(member, run)) {
			count(receive, COUNTER_run_replayed);
			return ERR_REPLAY;
		}
		memcpy(member->retired[member->retired_count++ % MEDIA_CRYPT_RECEIVE_RUNS], member->run, E2EE_RUN_BYTES);
		drop_streams(member);
	}
	memcpy(member->run, run, E2EE_RUN_BYTES);
	member->is_used = true;
	member->is_here = true;
	member->index = index;
	return ERR_OK;
}

void media_crypt_receive_gone(struct media_crypt_receive *receive, const struct id *participant)
{
	for (size_t i = 0; i < MEDIA_CRYPT_RECEIVE_MEMBERS; i++) {
		struct member *member = &receive->members[i];
		if (member->is_here && text_id_equal(&member->participant, participant))
			leave(receive, member);
	}
}

void media_crypt_receive_forget_indices(struct media_crypt_receive *receive)
{
	for (size_t i = 0; i < MEDIA_CRYPT_RECEIVE_MEMBERS; i++) {
		if (receive->members[i].is_here)
			leave(receive, &receive->members[i]);
	}
	receive->held_count = 0;
}

static struct stream *find_stream(struct member *member, uint32_t ssrc)
{
	for (size_t i = 0; i < member->stream_count; i++) {
		if (member->streams[i].ssrc == ssrc)
			return &member->streams[i];
	}
	return NULL;
}

// The oldest stream of an index that the member no longer has makes room; NULL if there is none. Senders never draw
// an earlier generation again, in no stream, so that forgetting what it has seen opens nothing to replays.
static struct stream *retire_stream(struct member *member)
{
	struct stream *oldest = NULL;
	for (size_t i = 0; i < member->stream_count; i++) {
		struct stream *stream = &member->streams[i];
		if (packet_ssrc_index(stream->ssrc) != member->index && (!oldest || stream->present.mki < oldest->present.mki))
			oldest = stream;
	}
	if (!oldest)
		return NULL;
	if (oldest->present.mki >= member->first_mki)
		member->first_mki = oldest->present.mki + 1;
	srtp_box_free(oldest->present.box);
	srtp_box_free(oldest->previous.box);
	return oldest;
}

// A stream gets its place only once a packet of it has authenticated.
static struct stream *add_stream(struct member *member, uint32_t ssrc)
{
	bool has_room = member->stream_count < MEDIA_CRYPT_RECEIVE_STREAMS;
	struct stream *stream = has_room ? &member->streams[member->stream_count++] : retire_stream(member);
	if (stream)
		*stream = (struct stream){ .ssrc = ssrc };
	return stream;
}

static bool unprotect(struct media_crypt_receive *receive, struct srtp_box *box, uint8_t *srtp, size_t *size)
{
	enum err err = srtp_box_unprotect_rtp(box, srtp, size);
	if (err)
		count(receive, err == ERR_REPLAY ? COUNTER_replayed : COUNTER_decrypt_failed);
	return !err;
}

// Open under a generation that has no context yet. It is kept if the packet authenticates.
static bool open_new_generation(struct media_crypt_receive *receive, struct member *member, uint32_t ssrc, uint32_t mki,
				uint8_t *srtp, size_t *size)
{
	uint8_t master[SRTP_MASTER_BYTES];
	if (e2ee_receive_key(receive->options.e2ee, &member->participant, member->run, ssrc, mki, master) != ERR_OK) {
		count(receive, COUNTER_decrypt_failed);
		return false;
	}
	struct srtp_box *box = srtp_box_new(ssrc, master);
	secret_wipe(master, sizeof(master));
	if (!box || !unprotect(receive, box, srtp, size)) {
		if (!box)
			count(receive, COUNTER_decrypt_failed);
		srtp_box_free(box);
		return false;
	}
	struct stream *stream = find_stream(member, ssrc);
	if (!stream)
		stream = add_stream(member, ssrc);
	if (!stream) {
		count(receive, COUNTER_stream_limit);
		srtp_box_free(box);
		return false;
	}
	srtp_box_free(stream->previous.box);
	stream->previous = stream->present;
	stream->present = (struct generation){ .mki = mki, .box = box };
	return true;
}

static bool open_packet(struct media_crypt_receive *receive, struct member *member, uint32_t ssrc, uint32_t mki,
			uint8_t *srtp, size_t *size)
{
	struct stream *stream = find_stream(member, ssrc);
	uint32_t first_mki = member->first_mki;
	if (stream) {
		if (stream->present.mki == mki)
			return unprotect(receive, stream->present.box, srtp, size);
		if (stream->previous.box && stream->previous.mki == mki)
			return unprotect(receive, stream->previous.box, srtp, size);
		first_mki = stream->present.mki;
	}
	// A context that was dropped must not come back: it would have forgotten what it saw.
	if (mki < first_mki) {
		count(receive, COUNTER_old_generation);
		return false;
	}
	return open_new_generation(receive, member, ssrc, mki, srtp, size);
}

static void hold(struct media_crypt_receive *receive, const struct held *packet)
{
	if (receive->held_count == MEDIA_CRYPT_RECEIVE_HELD) {
		count(receive, COUNTER_hold_full);
		return;
	}
	receive->held[receive->held_count++] = *packet;
}

static void handle_packet(struct media_crypt_receive *receive, struct held *packet)
{
	struct packet_rtp rtp;
	if (packet->size < PACKET_MEDIA_MIN_BYTES || packet_rtp_parse(packet->bytes, packet->size, &rtp) != ERR_OK) {
		count(receive, COUNTER_media_malformed);
		return;
	}
	packet->index = packet_ssrc_index(rtp.ssrc);
	if (packet->index == receive->self) {
		count(receive, COUNTER_media_own);
		return;
	}
	struct cursor c = cursor_reader(packet->bytes + packet->size - PACKET_MKI_BYTES, PACKET_MKI_BYTES);
	uint32_t mki = cursor_read_u32(&c);
	struct member *member = member_at(receive, packet->index);
	bool is_epoch_known = mki >> E2EE_GENERATION_BITS == (e2ee_epoch(receive->options.e2ee) & ((1u << E2EE_EPOCH_BITS) - 1));
	if (!member || !is_epoch_known) {
		packet->reason = member ? COUNTER_unknown_epoch : COUNTER_unknown_sender;
		hold(receive, packet);
		return;
	}
	uint8_t *srtp = packet->bytes + PACKET_HEADER_BYTES;
	size_t size = packet->size - PACKET_HEADER_BYTES - PACKET_MKI_BYTES;
	if (!open_packet(receive, member, rtp.ssrc, mki, srtp, &size))
		return;
	receive->options.on_media(receive->options.context, &rtp, srtp + PACKET_RTP_BYTES, size - PACKET_RTP_BYTES, packet->arrival_ns);
}

void media_crypt_receive_packet(struct media_crypt_receive *receive, uint8_t *bytes, size_t size, uint64_t arrival_ns, uint64_t now_ms)
{
	struct held packet = { .arrival_ns = arrival_ns, .since_ms = now_ms };
	if (size > sizeof(packet.bytes)) {
		count(receive, COUNTER_media_malformed);
		return;
	}
	packet.size = (uint16_t)size;
	memcpy(packet.bytes, bytes, size);
	handle_packet(receive, &packet);
}

void media_crypt_receive_release(struct media_crypt_receive *receive, uint32_t index, uint64_t now_ms)
{
	size_t count_before = receive->held_count, kept = 0;
	struct held packet;
	for (size_t i = 0; i < count_before; i++) {
		if (receive->held[i].index != index) {
			receive->held[kept++] = receive->held[i];
			continue;
		}
		packet = receive->held[i];
		receive->held_count = kept; // room at the front: what must be held on goes there
		if (now_ms - packet.since_ms >= MEDIA_CRYPT_RECEIVE_HOLD_MS) {
			count(receive, packet.reason);
			continue;
		}
		handle_packet(receive, &packet);
		kept = receive->held_count;
	}
	receive->held_count = kept;
}

int media_crypt_receive_expire(struct media_crypt_receive *receive, uint64_t now_ms)
{
	size_t kept = 0;
	uint64_t oldest_ms = UINT64_MAX;
	for (size_t i = 0; i < receive->held_count; i++) {
		const struct held *held = &receive->held[i];
		if (now_ms - held->since_ms >= MEDIA_CRYPT_RECEIVE_HOLD_MS) {
			count(receive, held->reason);
			continue;
		}
		if (held->since_ms < oldest_ms)
			oldest_ms = held->since_ms;
		if (kept != i)
			receive->held[kept] = *held;
		kept++;
	}
	receive->held_count = kept;
	return kept ? (int)(oldest_ms + MEDIA_CRYPT_RECEIVE_HOLD_MS - now_ms) : -1;
}
