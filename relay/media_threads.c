// SPDX-License-Identifier: Apache-2.0
#include "relay/media_threads.h"

#include "base/log.h"
#include "relay/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { TAKEN_AT_ONCE = 256 };

struct media_thread {
	struct media_threads *all;
	size_t index;
	pthread_t thread;
	bool is_started;
	int stop; // eventfd
	struct media_port *port;
	struct mailbox *mailbox;
	struct table_reader *reader;
	struct media media;
	struct fanout_counters counters;
	struct relay_stats stats;
};

struct media_threads {
	struct media_threads_options options;
	size_t count;
	bool is_stopping;
	struct media_thread thread[];
};

// ---------------------------------------------------------------- a thread's life

static void on_up(void *context, struct media_up *up)
{
	struct media_thread *thread = context;
	if (!mailbox_put(thread->mailbox, up))
		relay_stats_add(&thread->stats, STATS_up_dropped, 1);
}

static uint64_t clock_coarse_ns(void *context)
{
	(void)context;
	return loop_clock_ns(CLOCK_MONOTONIC_COARSE);
}

static void count_received(struct relay_stats *stats, const struct media_port_batch *batch)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < batch->count; i++)
		bytes += batch->datagram[i].size;
	relay_stats_add(stats, STATS_datagrams_received, batch->count);
	relay_stats_add(stats, STATS_bytes_received, bytes);
}

static void serve(struct media_thread *thread, const struct media_port_batch *batch)
{
	struct media *media = &thread->media;
	count_received(&thread->stats, batch);
	(void)media_receive(media, batch->datagram, batch->count);
	outbox_flush(media->outbox);
	if (media->leg_outbox)
		outbox_flush(media->leg_outbox);
	if (media->forwarded > 0)
		media_sent(media, loop_clock_ns(CLOCK_REALTIME));
	mailbox_ring(thread->mailbox);
	table_reader_quiet(thread->reader);
}

// On a core of its own.
static void settle(const struct media_thread *thread)
{
	char name[16];
	snprintf(name, sizeof(name), "media %zu", thread->index);
	(void)pthread_setname_np(pthread_self(), name);
	cpu_set_t allowed, own;
	if (pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) < (int)thread->all->count)
		return;
	size_t skip = thread->index;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || skip-- > 0)
			continue;
		CPU_ZERO(&own);
		CPU_SET(cpu, &own);
		(void)pthread_setaffinity_np(pthread_self(), sizeof(own), &own);
		return;
	}
}

static void *run(void *context)
{
	struct media_thread *thread = context;
	settle(thread);
	table_reader_online(thread->reader);
	while (!__atomic_load_n(&thread->all->is_stopping, __ATOMIC_ACQUIRE)) {
		struct media_port_batch batch;
		thread->port->ops->receive(thread->port, &batch);
		media_note_load(&thread->media, batch.is_full, batch.is_full ? thread->port->ops->backlog(thread->port) : 0);
		if (batch.count > 0)
			serve(thread, &batch);
		if (batch.is_full) {
			(void)sched_yield(); // the control thread is as urgent, and must not starve
			continue;
		}
		table_reader_offline(thread->reader);
		thread->port->ops->wait(thread->port);
		table_reader_online(thread->reader);
	}
	table_reader_offline(thread->reader);
	return NULL;
}

// ---------------------------------------------------------------- all of them

static enum err thread_init(struct media_threads *threads, size_t index)
{
	struct media_thread *thread = &threads->thread[index];
	const struct media_threads_options *options = &threads->options;
	thread->all = threads;
	thread->index = index;
	thread->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (thread->stop < 0)
		return ERR_IO;
	int leg = options->leg_descriptor;
	const struct media_port sockets = { .descriptor = options->descriptor[index], .leg_descriptor = leg, .is_leg_deaf = index > 0,
					    .wake = thread->stop };
	enum err err = media_port_open(options->choice, &sockets, &thread->port);
	if (err)
		return err;
	thread->mailbox = mailbox_new();
	thread->reader = table_reader_new(options->table);
	size_t windows = table_windows(&table_memory(options->table)->sizes);
	thread->media = (struct media){
		.table = table_memory(options->table),
		.outbox = outbox_new(thread->port, false, &thread->stats),
		.leg_outbox = leg >= 0 ? outbox_new(thread->port, true, &thread->stats) : NULL,
		.legs = options->legs,
		.counters = &thread->counters,
		.stats = &thread->stats,
		.on_up = on_up,
		.context = thread,
		.clock_ns = clock_coarse_ns,
		.allowance = calloc(windows, sizeof(*thread->media.allowance)),
	};
	bool is_whole = thread->mailbox && thread->reader && thread->media.allowance && thread->media.outbox && (leg < 0 || thread->media.leg_outbox);
	return is_whole ? ERR_OK : ERR_NOMEM;
}

enum err media_threads_new(const struct media_threads_options *options, struct media_threads **out)
{
	struct media_threads *threads = calloc(1, sizeof(*threads) + options->count * sizeof(threads->thread[0]));
	if (!threads)
		return ERR_NOMEM;
	threads->options = *options;
	for (enum err err = ERR_OK; threads->count < options->count && !err;) {
		threads->thread[threads->count].stop = -1;
		err = thread_init(threads, threads->count++);
		if (err) {
			media_threads_free(threads);
			return err;
		}
	}
	*out = threads;
	return ERR_OK;
}

enum err media_threads_start(struct media_threads *threads)
{
	for (size_t i = 0; i < threads->count; i++) {
		struct media_thread *thread = &threads->thread[i];
		int error = pthread_create(&thread->thread, NULL, run, thread);
		if (error) {
			errno = error;
			return ERR_IO;
		}
		thread->is_started = true;
	}
	return ERR_OK;
}

static void thread_end(struct media_thread *thread)
{
	uint64_t one = 1;
	if (thread->is_started && write(thread->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
		(void)pthread_join(thread->thread, NULL);
	outbox_free(thread->media.outbox);
	outbox_free(thread->media.leg_outbox);
	free(thread->media.allowance);
	mailbox_free(thread->mailbox);
	if (thread->port)
		thread->port->ops->close(thread->port);
	if (thread->stop >= 0)
		close(thread->stop);
	thread->stop = -1;
}

void media_threads_free(struct media_threads *threads)
{
	if (!threads)
		return;
	__atomic_store_n(&threads->is_stopping, true, __ATOMIC_RELEASE);
	for (size_t i = 0; i < threads->count; i++)
		thread_end(&threads->thread[i]);
	free(threads);
}

const char *media_threads_name(const struct media_threads *threads) { return threads->thread[0].port->ops->name; }

// ---------------------------------------------------------------- for the control thread

size_t media_threads_count(const struct media_threads *threads) { return threads->count; }

int media_threads_descriptor(const struct media_threads *threads, size_t index)
{
	return mailbox_descriptor(threads->thread[index].mailbox);
}

bool media_threads_receive(struct media_threads *threads, int descriptor, const struct media_threads_receiver *receiver)
{
	for (size_t i = 0; i < threads->count; i++) {
		struct mailbox *mailbox = threads->thread[i].mailbox;
		if (mailbox_descriptor(mailbox) != descriptor)
			continue;
		struct media_up up;
		size_t taken = 0;
		mailbox_hush(mailbox);
		while (taken < TAKEN_AT_ONCE && mailbox_take(mailbox, &up)) {
			receiver->on_up(receiver->context, &up);
			taken++;
		}
		receiver->on_flush(receiver->context);
		mailbox_release(mailbox);
		if (taken == TAKEN_AT_ONCE)
			mailbox_wake(mailbox);
		return true;
	}
	return false;
}

void media_threads_sum(const struct media_threads *threads, struct fanout_counters *counters, struct relay_stats *stats)
{
	for (size_t i = 0; i < threads->count; i++) {
		const struct media_thread *thread = &threads->thread[i];
		for (size_t c = 0; c < FANOUT_COUNTERS; c++)
			counters->counter[c] += __atomic_load_n(&thread->counters.counter[c], __ATOMIC_RELAXED);
		relay_stats_sum(stats, &thread->stats);
	}
}
