// The relay's loop without a kernel: time stands until a test moves it, what is sent is recorded.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAKE_RELAY_LOOP_H
#define TESTS_FAKE_RELAY_LOOP_H

#include "base/packet.h"
#include "relay/loop.h"
#include "relay/media_port.h"

#include <stdbool.h>

struct relay_loop_sent {
	struct loop_address to;
	size_t size;
	uint8_t bytes[PACKET_MAX_BYTES];
};

struct loop *relay_loop_new(const struct loop_handlers *handlers);
// What relay_loop_receive brings arrives here, and what leaves from here is what was sent. The loop's.
struct media_port *relay_loop_port(struct loop *loop);
// Move the time on in steps of at most 50 ms; timers fire on their way.
void relay_loop_advance(struct loop *loop, uint64_t ns);
// The real-time clock in seconds, which moves with the time.
void relay_loop_set_clock(struct loop *loop, uint64_t seconds);
// One datagram comes in; `received_ns` is 100 us ago. Its bytes are gone when it was handled.
void relay_loop_receive(struct loop *loop, const struct sockaddr_in6 *from, const uint8_t *bytes, size_t size);
// A wake-up in which nothing else happens.
void relay_loop_wake(struct loop *loop);

// What went out over UDP, oldest first, trains cut into datagrams. `refuse`: the kernel takes nothing.
size_t relay_loop_sent_count(const struct loop *loop);
const struct relay_loop_sent *relay_loop_sent_at(const struct loop *loop, size_t index);
void relay_loop_forget_sent(struct loop *loop);
void relay_loop_refuse(struct loop *loop, bool is_refusing);
bool relay_loop_is_stopped(const struct loop *loop);

// The other end of the stream that was opened last.
struct loop_stream *relay_loop_last_stream(struct loop *loop);
void relay_stream_feed(struct loop_stream *stream, const uint8_t *bytes, size_t size);
size_t relay_stream_take(struct loop_stream *stream, uint8_t *bytes, size_t capacity);
void relay_stream_hang_up(struct loop_stream *stream);
// A test's hold on the stream: it stays allocated, though closed, until it is released.
bool relay_stream_is_closed(const struct loop_stream *stream);
bool relay_stream_is_finished(const struct loop_stream *stream); // the relay has sent its last
void relay_stream_release(struct loop_stream *stream);

#endif
