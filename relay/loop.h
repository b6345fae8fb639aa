// The control thread's event loop as a table of operations: io_uring, epoll, and a fake one with simulated time in
// the unit tests. Datagrams do not pass through it (media_port.h).
//
// All sockets are IPv6 ones that also speak IPv4 (mapped addresses), so that there is one form of address.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_LOOP_H
#define RELAY_LOOP_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Where a datagram came from or goes to. `local` is the own address that the peer used: what is sent back
// must leave from there, or NATs in front of the peer drop it. All zeros: the kernel's choice.
struct loop_address {
	struct sockaddr_in6 peer;
	struct in6_addr local;
};

enum { LOOP_ACCEPTS = 64, LOOP_OUTPUT_BYTES = 16384 };

struct loop_datagram {
	struct loop_address from;
	uint64_t received_ns; // CLOCK_REALTIME when the kernel took it from the device, 0: not known
	uint8_t *bytes;       // may be changed in place
	size_t size;
	uint32_t mark;        // FANOUT_MARK: the kernel has multiplied it; 0: not
	bool is_leg;          // it came to the port of other relays
};

struct loop;
struct loop_stream;

// What happened; called from run() only.
struct loop_handlers {
	// A TCP connection; the descriptor is the callee's.
	void (*on_accept)(void *context, int descriptor);
	void (*on_readable)(void *context, int descriptor);
	void (*on_timer)(void *context);
	// After all events of a wake-up, before the loop writes streams.
	void (*on_wake_end)(void *context);
	// After streams were written too: all that could leave has been given to the kernel.
	void (*on_wake_sent)(void *context);
	void *context;
};

struct loop_stream_handlers {
	// `received_ns`: CLOCK_REALTIME when the kernel took the last of it from the device, 0: not known.
	void (*on_received)(void *context, const uint8_t *bytes, size_t size, uint64_t received_ns);
	// The socket takes more: fill in what is to be sent, 0 if there is nothing.
	size_t (*on_output)(void *context, uint8_t *bytes, size_t capacity);
	// The peer closed or the connection broke. The stream stays until stream_close.
	void (*on_closed)(void *context);
};

struct loop_ops {
	const char *name;
	enum err (*open)(const struct loop_handlers *handlers, struct loop **out);
	void (*close)(struct loop *loop); // streams must be closed before

	// Descriptors stay the caller's.
	enum err (*watch_listener)(struct loop *loop, int descriptor);
	enum err (*watch_readable)(struct loop *loop, int descriptor);
	void (*unwatch)(struct loop *loop, int descriptor);

	// A connected, non-blocking stream socket, the loop's own from here on; with SO_TIMESTAMPNS set it tells
	// receive times. Both tables are borrowed.
	enum err (*stream_open)(struct loop *loop, int descriptor, const struct loop_stream_handlers *handlers, void *context,
				struct loop_stream **out);
	void (*stream_output)(struct loop_stream *stream); // there is output: on_output is called when it can be sent
	void (*stream_finish)(struct loop_stream *stream); // end of sending, once on_output gives nothing more
	void (*stream_close)(struct loop_stream *stream);  // at once; no callback after this

	void (*set_timer)(struct loop *loop, uint64_t at_ns); // replaces the one before; monotonic
	uint64_t (*now_ns)(struct loop *loop);                // CLOCK_MONOTONIC of this wake-up
	uint64_t (*clock_ns)(struct loop *loop);              // CLOCK_REALTIME, exactly now

	enum err (*run)(struct loop *loop); // until stop
	void (*stop)(struct loop *loop);
};

// Every loop starts with this.
struct loop {
	const struct loop_ops *ops;
};

extern const struct loop_ops loop_uring_ops, loop_epoll_ops;

enum loop_choice { LOOP_AUTO, LOOP_IO_URING, LOOP_EPOLL };
#define LOOP_CHOICES "auto|io_uring|epoll"
// LOOP_AUTO takes io_uring where the kernel has and allows it, else epoll.
enum err loop_open(enum loop_choice choice, const struct loop_handlers *handlers, struct loop **out) CHECK_RESULT;

// --- for the backends
uint64_t loop_clock_ns(int clock);
// What a message's control data tells: own address, receive time, mark, size of a train's segments (0: no train).
struct loop_control {
	struct in6_addr local;
	uint64_t received_ns;
	uint32_t mark;
	size_t segment;
};
struct msghdr;
void loop_read_control(struct msghdr *message, struct loop_control *out);
// Control data that fixes the source address; returns its size. `control` is aligned, LOOP_CONTROL_BYTES long.
enum { LOOP_CONTROL_BYTES = 64 };
size_t loop_write_control(const struct loop_address *to, void *control);

#endif
