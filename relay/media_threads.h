// Engine U's threads: one a core, each with its own socket on the shared port (SO_REUSEPORT), outbox, counters and mailbox
// to the control thread. SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MEDIA_THREADS_H
#define RELAY_MEDIA_THREADS_H

#include "relay/media.h"

enum { MEDIA_THREADS_MAX = 16 };

struct media_threads;

struct media_threads_options {
	size_t count;
	enum loop_choice choice;     // how they receive
	const int *descriptor;       // one socket each
	int leg_descriptor;          // all send there, the first thread receives; -1: none
	const struct relay_legs *legs;
	struct table *table;
};

// All that they need, but nothing runs yet. ERR_NOMEM, ERR_IO.
enum err media_threads_new(const struct media_threads_options *options, struct media_threads **out) CHECK_RESULT;
// With the caller's priority.
enum err media_threads_start(struct media_threads *threads) CHECK_RESULT;
void media_threads_free(struct media_threads *threads); // stops them first
const char *media_threads_name(const struct media_threads *threads); // how they receive

// What they hand up: descriptors to watch, and what to do when one is readable. Each packet goes to `on_up`, then
// `on_flush` is called before their bytes go.
size_t media_threads_count(const struct media_threads *threads);
int media_threads_descriptor(const struct media_threads *threads, size_t index);
struct media_threads_receiver {
	void (*on_up)(void *context, struct media_up *up);
	void (*on_flush)(void *context);
	void *context;
};
// False: the descriptor is none of theirs.
bool media_threads_receive(struct media_threads *threads, int descriptor, const struct media_threads_receiver *receiver);

// Add what they have counted so far.
void media_threads_sum(const struct media_threads *threads, struct fanout_counters *counters, struct relay_stats *stats);

#endif
