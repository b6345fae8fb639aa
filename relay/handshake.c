// SPDX-License-Identifier: Apache-2.0
#include "relay/handshake.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct queue {
	struct handshake *first, *last;
};

struct handshakes {
	int event;
	pthread_mutex_t lock; // hands its holder the priority of who waits: the control thread is never held up for long
	pthread_cond_t is_given;
	struct queue waiting, done;
	bool is_stopping;
	size_t count, started;
	pthread_t thread[];
};

static void queue_add(struct queue *queue, struct handshake *step)
{
	step->next = NULL;
	if (queue->first)
		queue->last->next = step;
	else
		queue->first = step;
	queue->last = step;
}

static struct handshake *queue_take(struct queue *queue)
{
	struct handshake *step = queue->first;
	if (step)
		queue->first = step->next;
	return step;
}

static void *run(void *context)
{
	struct handshakes *handshakes = context;
	const struct sched_param ordinary = { 0 };
	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &ordinary);
	(void)pthread_setname_np(pthread_self(), "handshake");
	(void)pthread_mutex_lock(&handshakes->lock);
	for (;;) {
		struct handshake *step = NULL;
		while (!handshakes->is_stopping && !(step = queue_take(&handshakes->waiting)))
			(void)pthread_cond_wait(&handshakes->is_given, &handshakes->lock);
		if (!step)
			break;
		(void)pthread_mutex_unlock(&handshakes->lock);
		step->err = tls_conn_handshake(step->tls);
		(void)pthread_mutex_lock(&handshakes->lock);
		queue_add(&handshakes->done, step);
		uint64_t one = 1;
		(void)!write(handshakes->event, &one, sizeof(one)); // fails only when it is readable anyway
	}
	(void)pthread_mutex_unlock(&handshakes->lock);
	return NULL;
}

// ---------------------------------------------------------------- life

enum err handshakes_new(size_t threads, struct handshakes **out)
{
	struct handshakes *handshakes = calloc(1, sizeof(*handshakes) + threads * sizeof(handshakes->thread[0]));
	pthread_mutexattr_t attributes;
	if (!handshakes)
		return ERR_NOMEM;
	handshakes->count = threads;
	handshakes->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (handshakes->event < 0) {
		free(handshakes);
		return ERR_IO;
	}
	(void)pthread_mutexattr_init(&attributes);
	(void)pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
	(void)pthread_mutex_init(&handshakes->lock, &attributes);
	(void)pthread_mutexattr_destroy(&attributes);
	(void)pthread_cond_init(&handshakes->is_given, NULL);
	*out = handshakes;
	return ERR_OK;
}

enum err handshakes_start(struct handshakes *handshakes)
{
	for (; handshakes->started < handshakes->count; handshakes->started++) {
		int error = pthread_create(&handshakes->thread[handshakes->started], NULL, run, handshakes);
		if (error) {
			errno = error;
			return ERR_IO;
		}
	}
	return ERR_OK;
}

void handshakes_free(struct handshakes *handshakes)
{
	if (!handshakes)
		return;
	(void)pthread_mutex_lock(&handshakes->lock);
	handshakes->is_stopping = true;
	(void)pthread_cond_broadcast(&handshakes->is_given);
	(void)pthread_mutex_unlock(&handshakes->lock);
	for (size_t i = 0; i < handshakes->started; i++)
		(void)pthread_join(handshakes->thread[i], NULL);
	(void)pthread_cond_destroy(&handshakes->is_given);
	(void)pthread_mutex_destroy(&handshakes->lock);
	close(handshakes->event);
	free(handshakes);
}

// ---------------------------------------------------------------- for the control thread

void handshakes_give(struct handshakes *handshakes, struct handshake *step)
{
	step->is_running = true;
	(void)pthread_mutex_lock(&handshakes->lock);
	queue_add(&handshakes->waiting, step);
	(void)pthread_cond_signal(&handshakes->is_given);
	(void)pthread_mutex_unlock(&handshakes->lock);
}

struct handshake *handshakes_take(struct handshakes *handshakes)
{
	(void)pthread_mutex_lock(&handshakes->lock);
	struct handshake *step = queue_take(&handshakes->done);
	(void)pthread_mutex_unlock(&handshakes->lock);
	if (step)
		step->is_running = false;
	return step;
}

int handshakes_descriptor(const struct handshakes *handshakes) { return handshakes->event; }

void handshakes_hush(struct handshakes *handshakes)
{
	uint64_t count;
	(void)!read(handshakes->event, &count, sizeof(count));
}
