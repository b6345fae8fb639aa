// The packet path in user space, on a table of its own and a port that only notes what leaves: copies, trains, order,
// verdicts, marks, history, shedding, other relays. SPDX-License-Identifier: Apache-2.0
#include "relay/media.h"

#include <errno.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 7, SENT_MAX = 256, UPS_MAX = 64, PACKETS_MAX = 80, SENDER = 1, OTHER = 2, ENTRY = 5, ENTRY_OTHER = 6, STREAM = 1 };

struct sent {
	struct sockaddr_in6 to;
	size_t size, segment;
	bool is_leg;
	uint8_t bytes[65536];
};

struct world {
	struct table_memory memory;
	struct table *table;
	struct media media;
	struct media_port port;
	struct outbox *outbox, *leg_outbox;
	struct fanout_counters counters;
	struct relay_stats stats;
	struct relay_legs legs;
	uint32_t block, counter;
	uint64_t now_ns;
	size_t sent_count, up_count, trains_refused;
	struct sent sent[SENT_MAX];
	struct media_up up[UPS_MAX];
	struct loop_datagram in[PACKETS_MAX];
	size_t in_count;
	uint8_t bytes[PACKETS_MAX][PACKET_MAX_BYTES];
};

static const uint8_t key[PACKET_TAG_KEY_BYTES] = "sixteen bytes...";
static struct world *the_world; // of the port's callback

// ---------------------------------------------------------------- the port

static size_t send_noted(struct media_port *port, bool is_leg, struct mmsghdr *messages, size_t count)
{
	(void)port;
	for (size_t i = 0; i < count; i++) {
		struct msghdr *m = &messages[i].msg_hdr;
		struct sent *sent = &the_world->sent[the_world->sent_count];
		*sent = (struct sent){ .is_leg = is_leg };
		memcpy(&sent->to, m->msg_name, sizeof(sent->to));
		for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
			uint16_t segment;
			if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_SEGMENT)
				continue;
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
			sent->segment = segment;
		}
		if (sent->segment != 0 && the_world->trains_refused > 0) {
			the_world->trains_refused -= i == 0;
			errno = i == 0 ? EIO : EINTR; // of those that were taken before nothing is said, as by sendmmsg
			return i;
		}
		for (size_t v = 0; v < m->msg_iovlen; v++) {
			memcpy(sent->bytes + sent->size, m->msg_iov[v].iov_base, m->msg_iov[v].iov_len);
			sent->size += m->msg_iov[v].iov_len;
		}
		assert_true(++the_world->sent_count < SENT_MAX);
	}
	return count;
}

static void on_up(void *context, struct media_up *up)
{
	struct world *world = context;
	assert_true(world->up_count < UPS_MAX);
	world->up[world->up_count++] = *up;
}

static uint64_t clock_ns(void *context) { return ((struct world *)context)->now_ns; }

// ---------------------------------------------------------------- the world

static struct sockaddr_in6 address_of(uint32_t member)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(4000 + member)) };
	a.sin6_addr.s6_addr[0] = 0x20;
	a.sin6_addr.s6_addr[15] = (uint8_t)member;
	return a;
}

static struct fanout_receiver record_of(uint32_t member, uint8_t family)
{
	struct fanout_receiver r = { .room = ROOM, .member = member, .family = family };
	if (family == FANOUT_IPV6)
		memcpy(r.destination, address_of(member).sin6_addr.s6_addr, sizeof(r.destination));
	if (family == FANOUT_IPV4)
		memcpy(r.destination, (uint8_t[]){ 10, 0, 0, (uint8_t)member }, 4);
	r.destination_port_be = htons((uint16_t)(4000 + member));
	table_receiver_finish(&r);
	return r;
}

static void open_sender(struct world *world, uint32_t entry, uint32_t member)
{
	struct table_sender sender = { .handle = packet_handle(PACKET_MEDIA, 1, entry), .index = member, .room = ROOM,
				       .may_send = true, .tag_key = key };
	struct sockaddr_in6 at = address_of(member);
	assert_int_equal(table_sender_open(world->table, &sender), ERR_OK);
	table_sender_move(world->table, sender.handle, at.sin6_addr.s6_addr, at.sin6_port);
	for (uint8_t stream = 0; stream < 2; stream++)
		table_stream_set(world->table, sender.handle, stream, world->block, stream ? FANOUT_STREAM_MAY_SHED : 0);
}

static int setup(void **state)
{
	static const struct media_port_ops ops = { .name = "noted", .send = send_noted };
	struct world *world = the_world = calloc(1, sizeof(*world));
	struct table_sizes sizes;
	table_sizes_for(16, 8 << 20, &sizes);
	assert_int_equal(table_memory_private(&sizes, &world->memory), ERR_OK);
	assert_int_equal(table_new(&world->memory, &world->table), ERR_OK);
	assert_int_equal(table_block_new(world->table, &world->block), ERR_OK);
	const struct fanout_receiver records[] = { record_of(SENDER, FANOUT_IPV6), record_of(OTHER, FANOUT_IPV6), record_of(3, FANOUT_IPV4) };
	assert_int_equal(table_block_write(world->table, world->block, ROOM, records, 3, 0), ERR_OK);
	open_sender(world, ENTRY, SENDER);
	open_sender(world, ENTRY_OTHER, OTHER);
	world->port = (struct media_port){ .ops = &ops };
	world->outbox = outbox_new(&world->port, false, &world->stats);
	world->leg_outbox = outbox_new(&world->port, true, &world->stats);
	world->now_ns = 1000000000;
	world->media = (struct media){ .table = &world->memory, .outbox = world->outbox, .leg_outbox = world->leg_outbox,
				       .legs = &world->legs, .counters = &world->counters, .stats = &world->stats, .on_up = on_up,
				       .context = world, .clock_ns = clock_ns };
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	outbox_free(world->outbox);
	outbox_free(world->leg_outbox);
	table_free(world->table);
	table_memory_free(&world->memory);
	free(world);
	return 0;
}

// A valid packet, ready to be received; may be spoilt before.
static struct loop_datagram *add(struct world *world, uint32_t entry, uint32_t member, uint8_t stream, uint16_t sequence, size_t size)
{
	uint8_t *bytes = world->bytes[world->in_count];
	struct loop_datagram *d = &world->in[world->in_count++];
	struct packet_rtp rtp = { .ssrc = packet_ssrc(member, stream), .sequence = sequence, .payload_type = PACKET_PT_VP9,
				  .timestamp = sequence * 90u };
	memset(bytes, (uint8_t)(sequence + member), size);
	packet_rtp_emit(&rtp, bytes + PACKET_HEADER_BYTES);
	packet_stamp(key, packet_handle(PACKET_MEDIA, 1, entry), ++world->counter, bytes, size);
	*d = (struct loop_datagram){ .from.peer = address_of(member), .received_ns = 1, .bytes = bytes, .size = size };
	return d;
}

static struct loop_datagram *add_video(struct world *world, uint16_t sequence, size_t size)
{
	return add(world, ENTRY, SENDER, STREAM, sequence, size);
}

static size_t receive(struct world *world)
{
	size_t forwarded = media_receive(&world->media, world->in, world->in_count);
	outbox_flush(world->outbox);
	outbox_flush(world->leg_outbox);
	world->in_count = 0;
	return forwarded;
}

static uint64_t counted(const struct world *world, enum fanout_counter counter) { return world->counters.counter[counter]; }

static void assert_dropped(struct world *world, enum fanout_counter reason)
{
	uint64_t before = counted(world, reason);
	size_t sent = world->sent_count;
	assert_int_equal(receive(world), 0);
	assert_int_equal(counted(world, reason), before + 1);
	assert_int_equal(world->sent_count, sent);
}

// ---------------------------------------------------------------- copies and trains

static void a_packet_goes_to_all_but_its_sender(void **state)
{
	struct world *world = *state;
	const struct loop_datagram *d = add_video(world, 1, 500);
	assert_int_equal(receive(world), 1);
	assert_int_equal(world->sent_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(world->sent[i].size, 500);
		assert_int_equal(world->sent[i].segment, 0);
		assert_memory_equal(world->sent[i].bytes, d->bytes, 500);
		assert_int_not_equal(world->sent[i].to.sin6_port, htons(4000 + SENDER));
	}
	const struct sockaddr_in6 *v4 = &world->sent[world->sent[0].to.sin6_port == htons(4003) ? 0 : 1].to;
	assert_true(IN6_IS_ADDR_V4MAPPED(&v4->sin6_addr));
	assert_int_equal(v4->sin6_addr.s6_addr[12], 10);
	assert_int_equal(counted(world, FANOUT_media_received), 1);
	assert_int_equal(counted(world, FANOUT_media_forwarded), 2);
	assert_int_equal(counted(world, FANOUT_bytes_forwarded), 1000);
	assert_int_equal(counted(world, FANOUT_trains), 0);
	media_sent(&world->media, 2001);
	assert_int_equal(world->stats.latency_count, 1);
}

static void equal_packets_leave_as_one_train(void **state)
{
	struct world *world = *state;
	for (uint16_t i = 0; i < 8; i++)
		add_video(world, i, i < 7 ? 1100 : 300); // the last may be shorter
	assert_int_equal(receive(world), 8);
	assert_int_equal(world->sent_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(world->sent[i].segment, 1100);
		assert_int_equal(world->sent[i].size, 7 * 1100 + 300);
		for (size_t p = 0; p < 8; p++)
			assert_memory_equal(world->sent[i].bytes + p * 1100, world->bytes[p], p < 7 ? 1100 : 300);
	}
	assert_int_equal(counted(world, FANOUT_trains), 1);
	assert_int_equal(counted(world, FANOUT_train_packets), 8);
	assert_int_equal(counted(world, FANOUT_media_forwarded), 16);
	assert_int_equal(world->stats.counter[STATS_datagrams_sent], 16);
}

// 1,000 1,000 300 1,000: what comes behind a shorter one is a train of its own, and leaves later.
static void a_stream_keeps_its_order(void **state)
{
	struct world *world = *state;
	static const size_t sizes[] = { 1000, 1000, 300, 1000, 1100 };
	for (uint16_t i = 0; i < 5; i++)
		add_video(world, i, sizes[i]);
	assert_int_equal(receive(world), 5);
	static const size_t wanted[] = { 2300, 2300, 1000, 1000, 1100, 1100 };
	assert_int_equal(world->sent_count, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(world->sent[i].size, wanted[i]);
}

static void senders_have_trains_of_their_own(void **state)
{
	struct world *world = *state;
	for (uint16_t i = 0; i < 4; i++) {
		add_video(world, i, 600);
		add(world, ENTRY_OTHER, OTHER, STREAM, i, 600);
	}
	assert_int_equal(receive(world), 8);
	assert_int_equal(world->sent_count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(world->sent[i].size, 4 * 600);
		uint8_t author = world->sent[i].bytes[599]; // filled with sequence and member
		assert_int_equal(author, i < 2 ? SENDER : OTHER);
		assert_int_not_equal(world->sent[i].to.sin6_port, htons((uint16_t)(4000 + author)));
	}
}

static void a_train_is_never_too_long(void **state)
{
	struct world *world = *state;
	for (uint16_t i = 0; i < PACKETS_MAX - 1; i++)
		add_video(world, i, 1200);
	assert_int_equal(receive(world), PACKETS_MAX - 1);
	assert_int_equal(world->sent_count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_true(world->sent[i].size <= OUTBOX_TRAIN_BYTES);
	assert_int_equal(world->sent[0].size + world->sent[2].size, (PACKETS_MAX - 1) * 1200);
	for (uint16_t i = 0; i < 70; i++)
		add_video(world, (uint16_t)(100 + i), 100);
	assert_int_equal(receive(world), 70);
	assert_int_equal(world->sent[4].size, 64 * 100);
}

static void a_refused_train_is_sent_packet_by_packet(void **state)
{
	struct world *world = *state;
	world->trains_refused = 2;
	for (uint16_t i = 0; i < 3; i++)
		add_video(world, i, i < 2 ? 700 : 200);
	assert_int_equal(receive(world), 3);
	assert_int_equal(world->sent_count, 6);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(world->sent[i].segment, 0);
		assert_int_equal(world->sent[i].size, i % 3 < 2 ? 700 : 200);
		assert_memory_equal(world->sent[i].bytes, world->bytes[i % 3], world->sent[i].size);
	}
	assert_int_equal(world->stats.counter[STATS_datagrams_sent], 6);
	assert_int_equal(world->stats.counter[STATS_send_refused], 0);
	// Behind something that was taken.
	world->trains_refused = 1;
	world->sent_count = 0;
	add(world, ENTRY_OTHER, OTHER, 0, 1, 100);
	for (uint16_t i = 0; i < 3; i++)
		add_video(world, (uint16_t)(10 + i), 700);
	assert_int_equal(receive(world), 4);
	assert_int_equal(world->sent_count, 2 + 3 + 1);
	assert_int_equal(world->stats.counter[STATS_send_refused], 0);
}

static void other_rooms_get_nothing(void **state)
{
	struct world *world = *state;
	world->memory.receiver[world->memory.block[world->block] + 2].room = ROOM + 1; // as if it were used again too early
	add_video(world, 1, 100);
	assert_int_equal(receive(world), 1);
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(counted(world, FANOUT_room_foreign), 1);
}

// ---------------------------------------------------------------- verdicts

static void what_is_refused_has_its_reason(void **state)
{
	struct world *world = *state;
	add_video(world, 1, 500)->bytes[12] ^= 1;
	assert_dropped(world, FANOUT_tag_wrong);
	add_video(world, 1, 500)->size = 59;
	assert_dropped(world, FANOUT_packet_malformed);
	add_video(world, 1, 500)->size = 3;
	assert_dropped(world, FANOUT_packet_malformed);
	add_video(world, 1, 500)->size = 1201;
	assert_dropped(world, FANOUT_packet_malformed);
	add_video(world, 1, 500)->size = 70000; // not even with its size cut to 16 bits
	assert_dropped(world, FANOUT_packet_malformed);
	add(world, 9, SENDER, STREAM, 1, 500);
	assert_dropped(world, FANOUT_handle_unknown);
	add(world, (1 << PACKET_INDEX_BITS) - 1, SENDER, STREAM, 1, 500);
	assert_dropped(world, FANOUT_handle_unknown);
	add(world, ENTRY, OTHER, STREAM, 1, 500)->from.peer = address_of(SENDER);
	assert_dropped(world, FANOUT_ssrc_foreign);
	add(world, ENTRY, SENDER, 16, 1, 500);
	assert_dropped(world, FANOUT_stream_limit);
	struct loop_datagram *d = add_video(world, 1, 500);
	d->bytes[12] ^= 1;
	d->from.peer.sin6_port ^= 1;
	assert_dropped(world, FANOUT_address_foreign);
	assert_int_equal(world->up_count, 0);
	assert_int_equal(counted(world, FANOUT_media_received), 0);
}

static void a_counter_is_taken_once(void **state)
{
	struct world *world = *state;
	add_video(world, 1, 500);
	assert_int_equal(receive(world), 1);
	world->in_count = 1;
	assert_dropped(world, FANOUT_counter_replayed);
	add_video(world, 1, 500); // the same media, stamped again
	assert_dropped(world, FANOUT_media_repeated);
}

static void the_rate_is_limited(void **state)
{
	struct world *world = *state;
	world->memory.sender[ENTRY].ns_per_kib = 200000000;
	add_video(world, 1, 1024);
	add_video(world, 2, 1024);
	assert_int_equal(receive(world), 1);
	assert_int_equal(counted(world, FANOUT_rate_limit), 1);
	world->now_ns += 200000000;
	add_video(world, 3, 1024);
	assert_int_equal(receive(world), 1);
}

static void assert_up(struct world *world, enum fanout_counter reason)
{
	world->up_count = 0;
	uint32_t counter = world->counter;
	assert_int_equal(receive(world), 0);
	assert_int_equal(world->up_count, 1);
	assert_int_equal(world->up[0].reason, reason);
	assert_false(world->up[0].is_tls);
	assert_true(fanout_is_fresh(&world->memory.window[ENTRY], counter)); // not taken
}

static void the_control_thread_gets_the_rest(void **state)
{
	struct world *world = *state;
	add_video(world, 1, 500)->from.peer.sin6_port ^= 1;
	assert_up(world, FANOUT_up_foreign);
	struct loop_datagram *hop = add_video(world, 1, 100);
	packet_stamp(key, packet_handle(PACKET_HOP, 1, ENTRY), world->counter, hop->bytes, hop->size);
	assert_up(world, FANOUT_up_hop);
	struct loop_datagram *d = add(world, ENTRY, SENDER, 3, 1, 500);
	assert_up(world, FANOUT_up_stream);
	// Still without a block, then with one.
	assert_int_equal(media_forward(&world->media, &world->up[0]), 0);
	assert_int_equal(counted(world, FANOUT_stream_limit), 1);
	table_stream_set(world->table, packet_handle(PACKET_MEDIA, 1, ENTRY), 3, world->block, 0);
	assert_int_equal(media_forward(&world->media, &world->up[0]), 1);
	outbox_flush(world->outbox);
	assert_int_equal(world->sent_count, 2);
	assert_memory_equal(world->sent[0].bytes, d->bytes, 500);
	assert_false(fanout_is_fresh(&world->memory.window[ENTRY], world->counter));
}

static void hop_packet(struct world *world, uint32_t counter)
{
	struct loop_datagram *hop = add_video(world, 1, 100);
	packet_stamp(key, packet_handle(PACKET_HOP, 1, ENTRY), counter, hop->bytes, hop->size);
}

// One sender must not keep the control thread from all others, whatever it has the right to send.
static void a_sender_has_an_allowance_of_the_control_threads_time(void **state)
{
	struct world *world = *state;
	world->media.allowance = calloc(table_windows(&world->memory.sizes), sizeof(*world->media.allowance));
	uint32_t counter = 100000;
	for (unsigned i = 0; i < 5 * MEDIA_UPS_PER_S; i++) {
		hop_packet(world, ++counter);
		(void)receive(world);
		world->counter = 0;
		world->up_count = 0;
	}
	uint64_t refused = world->stats.counter[STATS_up_rate];
	assert_int_equal(5 * MEDIA_UPS_PER_S - refused, MEDIA_UPS_PER_S / 4);
	world->counter = 200000;
	add(world, ENTRY, SENDER, 3, 1, 500); // its media has one of its own
	assert_up(world, FANOUT_up_stream);
	struct loop_datagram *other = add(world, ENTRY_OTHER, OTHER, 0, 1, 100); // and so have others
	packet_stamp(key, packet_handle(PACKET_HOP, 1, ENTRY_OTHER), 1, other->bytes, other->size);
	assert_up(world, FANOUT_up_hop);
	world->now_ns += 1000000000;
	hop_packet(world, ++counter);
	assert_up(world, FANOUT_up_hop);
	assert_true(table_take(&world->memory, ENTRY, counter));
	hop_packet(world, counter); // sent again by somebody who has seen it
	assert_dropped(world, FANOUT_counter_replayed);
	assert_int_equal(world->stats.counter[STATS_up_rate], refused);
	free(world->media.allowance);
}

static void change_table(void *context, struct media_up *up)
{
	struct world *world = context;
	(void)up;
	const struct fanout_receiver other = record_of(9, FANOUT_IPV6);
	world->up_count++;
	for (unsigned i = 0; i < 4; i++) // nobody reads but us: what was replaced is used again at once
		assert_int_equal(table_block_write(world->table, world->block, ROOM, &other, 1, 0), ERR_OK);
}

static void the_control_threads_trains_leave_before_it_changes_the_table(void **state)
{
	struct world *world = *state;
	world->media.on_up = change_table;
	world->media.is_writer = true;
	add_video(world, 1, 500);
	add(world, ENTRY, SENDER, 3, 1, 500); // a stream that is not known
	add_video(world, 2, 500);
	assert_int_equal(receive(world), 2);
	assert_int_equal(world->up_count, 1);
	assert_int_equal(world->sent_count, 2 + 1); // the first to OTHER and 3, the second to 9
	assert_int_equal(world->sent[2].to.sin6_port, htons(4000 + 9));
}

static void history_keeps_what_was_forwarded(void **state)
{
	struct world *world = *state;
	uint8_t bytes[FANOUT_PACKET_BYTES];
	size_t size = 0;
	const struct loop_datagram *d = add_video(world, 9, 777);
	assert_int_equal(receive(world), 1);
	assert_true(table_history_get(world->table, packet_handle(PACKET_MEDIA, 1, ENTRY), STREAM, 9, bytes, &size));
	assert_int_equal(size, 777);
	assert_memory_equal(bytes, d->bytes, 777);
	assert_int_equal(world->memory.sender[ENTRY].stream[STREAM].newest, 9);
	assert_int_equal(world->memory.sender[ENTRY].stream[STREAM].packets, 1);
	assert_int_equal(world->memory.sender[ENTRY].stream[STREAM].bytes, 777);
}

// ---------------------------------------------------------------- TLS, marks

static void with_outside(struct world *world)
{
	struct fanout_receiver records[] = { record_of(SENDER, FANOUT_IPV6), record_of(3, FANOUT_IPV4), record_of(OTHER, FANOUT_IPV6),
					     record_of(8, FANOUT_OUTSIDE) };
	records[1].device = 1; // the kernel's
	assert_int_equal(table_block_write(world->table, world->block, ROOM, records, 4, FANOUT_EXTENT_TCX), ERR_OK);
	assert_int_equal(table_block_extent(world->table, world->block)->in_kernel, 1);
}

static uint32_t mark_of(const struct world *world)
{
	return FANOUT_MARK((uint32_t)world->memory.block[world->block], table_block_extent(world->table, world->block)->generation);
}

static void tls_receivers_are_the_control_threads(void **state)
{
	struct world *world = *state;
	with_outside(world);
	add_video(world, 1, 500);
	add_video(world, 2, 500);
	assert_int_equal(receive(world), 2);
	assert_int_equal(world->sent_count, 2); // 3 and OTHER
	assert_int_equal(world->up_count, 2);   // once for each packet
	assert_int_equal(world->up[1].reason, FANOUT_up_outside);
	assert_int_equal(world->up[1].mark, mark_of(world));
	assert_memory_equal(world->up[1].bytes, world->bytes[1], 500);
}

static void marked_packets_go_to_the_rest_only(void **state)
{
	struct world *world = *state;
	with_outside(world);
	world->memory.has_programs = true;
	add_video(world, 1, 500)->mark = mark_of(world);
	assert_int_equal(receive(world), 1);
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(world->sent[0].to.sin6_port, htons(4000 + OTHER));
	assert_int_equal(world->up_count, 1);
	assert_int_equal(counted(world, FANOUT_media_received), 0); // the kernel has counted it, and taken its counter
	// An extent that was used again meanwhile: what is there now.
	add_video(world, 2, 500)->mark = mark_of(world) ^ 1 << 20;
	assert_int_equal(receive(world), 1);
	assert_int_equal(world->sent_count, 2);
	add_video(world, 3, 500)->mark = FANOUT_MARK(0xfffff, 1);
	assert_int_equal(receive(world), 1);
	add(world, 9, SENDER, STREAM, 1, 500)->mark = mark_of(world);
	assert_dropped(world, FANOUT_handle_unknown);
	world->memory.has_programs = false; // marks of somebody else
	add_video(world, 4, 500)->mark = mark_of(world);
	world->sent_count = 0;
	assert_int_equal(receive(world), 1);
	assert_int_equal(world->sent_count, 2);
	world->memory.has_programs = false;
}

static void frames_are_at_home_in_their_connection(void **state)
{
	struct world *world = *state;
	struct table_sender sender = { .handle = packet_handle(PACKET_MEDIA, 1, 8), .index = 9, .room = ROOM, .is_tls = true,
				       .may_send = true, .tag_key = key };
	assert_int_equal(table_sender_open(world->table, &sender), ERR_OK);
	table_stream_set(world->table, sender.handle, STREAM, world->block, 0);
	struct loop_datagram *d = add(world, 8, 9, STREAM, 1, 500);
	assert_dropped(world, FANOUT_address_foreign); // the same by UDP
	assert_int_equal(media_frame(&world->media, d->bytes, d->size, 0), 1);
	outbox_flush(world->outbox);
	assert_int_equal(world->sent_count, 3);
	d = add_video(world, 2, 500); // a UDP handle in a frame
	assert_int_equal(media_frame(&world->media, d->bytes, d->size, 0), 0);
	assert_int_equal(counted(world, FANOUT_address_foreign), 2);
	assert_int_equal(world->media.forwarded, 0); // without a time there is no latency
}

// ---------------------------------------------------------------- other relays

static void a_leg_has_a_part_of_the_table(void **state)
{
	struct world *world = *state;
	struct sockaddr_in6 peer = address_of(77), stranger = address_of(78);
	uint32_t base = world->memory.sizes.clients, entry;
	const struct fanout_relay part = { .base = base, .count = 4 };
	assert_true(world->memory.sizes.senders >= base + 4);
	assert_int_equal(relay_legs_set(&world->legs, &peer, &part), ERR_OK);
	assert_true(relay_legs_find(&world->legs, &peer, 3, &entry));
	assert_int_equal(entry, base + 3);
	assert_false(relay_legs_find(&world->legs, &peer, 4, &entry));
	assert_false(relay_legs_find(&world->legs, &stranger, 0, &entry));

	// As the control side of relay legs will fill it in: entry base + 2, handle with the peer's own index 2.
	struct fanout_sender *sender = &world->memory.sender[base + 2];
	*sender = (struct fanout_sender){ .handle = packet_handle(PACKET_MEDIA, 1, 2), .index = 40, .room = ROOM,
					  .flags = FANOUT_SENDER_HAS_ADDRESS | FANOUT_SENDER_MAY_SEND, .peer_port_be = peer.sin6_port };
	memcpy(sender->tag_key, key, sizeof(key));
	memcpy(sender->peer, &peer.sin6_addr, sizeof(sender->peer));
	sender->stream[STREAM].block = (uint32_t)world->block;
	struct fanout_receiver records[] = { record_of(OTHER, FANOUT_IPV6), record_of(50, FANOUT_IPV6) };
	records[1].flags = FANOUT_RECEIVER_RELAY;
	assert_int_equal(table_block_write(world->table, world->block, ROOM, records, 2, 0), ERR_OK);

	struct loop_datagram *d = add(world, 2, 40, STREAM, 1, 500);
	d->from.peer = peer;
	assert_dropped(world, FANOUT_handle_unknown); // on the clients' port it is nobody's
	world->in_count = 1;
	d->is_leg = true;
	assert_int_equal(receive(world), 1);
	assert_int_equal(world->sent_count, 2);
	assert_int_equal(world->sent[0].is_leg + world->sent[1].is_leg, 1);
	add_video(world, 1, 500)->is_leg = true; // a client on the relays' port
	assert_dropped(world, FANOUT_handle_unknown);
	assert_int_equal(relay_legs_set(&world->legs, &peer, &(struct fanout_relay){ 0 }), ERR_OK);
	d = add(world, 2, 40, STREAM, 2, 500);
	d->from.peer = peer;
	d->is_leg = true;
	assert_dropped(world, FANOUT_handle_unknown);
	for (uint32_t i = 0; i < RELAY_LEGS_MAX - 1; i++) {
		stranger = address_of(100 + i);
		assert_int_equal(relay_legs_set(&world->legs, &stranger, &part), ERR_OK);
	}
	stranger = address_of(99);
	assert_int_equal(relay_legs_set(&world->legs, &stranger, &part), ERR_FULL);
}

// ---------------------------------------------------------------- too much

static void pictures_go_before_sound(void **state)
{
	struct world *world = *state;
	media_note_load(&world->media, true, 256);
	add_video(world, 1, 500); // full, but not for long yet
	assert_int_equal(receive(world), 1);
	world->now_ns += 10000000;
	media_note_load(&world->media, true, 256);
	uint32_t counter = world->counter + 1;
	add_video(world, 2, 500);
	assert_dropped(world, FANOUT_overload_shed);
	assert_true(fanout_is_fresh(&world->memory.window[ENTRY], counter));
	add(world, ENTRY, SENDER, 0, 3, 200);
	assert_int_equal(receive(world), 1);
	media_note_load(&world->media, true, 48); // half of them
	for (uint16_t i = 0; i < 64; i++)
		add_video(world, (uint16_t)(10 + i), 500);
	assert_int_equal(receive(world), 32);
	media_note_load(&world->media, true, 16); // a short queue is nothing
	add_video(world, 200, 500);
	assert_int_equal(receive(world), 1);
	media_note_load(&world->media, true, 256);
	media_note_load(&world->media, false, 0); // a pause: all is well again
	add_video(world, 201, 500);
	assert_int_equal(receive(world), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_packet_goes_to_all_but_its_sender),
		TEST(equal_packets_leave_as_one_train),
		TEST(a_stream_keeps_its_order),
		TEST(senders_have_trains_of_their_own),
		TEST(a_train_is_never_too_long),
		TEST(a_refused_train_is_sent_packet_by_packet),
		TEST(other_rooms_get_nothing),
		TEST(what_is_refused_has_its_reason),
		TEST(a_counter_is_taken_once),
		TEST(the_rate_is_limited),
		TEST(the_control_thread_gets_the_rest),
		TEST(a_sender_has_an_allowance_of_the_control_threads_time),
		TEST(the_control_threads_trains_leave_before_it_changes_the_table),
		TEST(history_keeps_what_was_forwarded),
		TEST(tls_receivers_are_the_control_threads),
		TEST(marked_packets_go_to_the_rest_only),
		TEST(frames_are_at_home_in_their_connection),
		TEST(a_leg_has_a_part_of_the_table),
		TEST(pictures_go_before_sound),
	};
	return cmocka_run_group_tests_name("relay_media", tests, NULL, NULL);
}
