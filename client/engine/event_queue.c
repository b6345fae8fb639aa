// SPDX-License-Identifier: Apache-2.0
#include "client/engine/event_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct event_queue {
	pthread_mutex_t lock;
	int descriptor;
	size_t first, count;
	struct engine_event events[EVENT_QUEUE_MAX + 1];
};

enum err event_queue_new(struct event_queue **out)
{
	struct event_queue *queue = calloc(1, sizeof(*queue));
	if (!queue)
		return ERR_NOMEM;
	queue->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->descriptor < 0) {
		free(queue);
		return ERR_IO;
	}
	pthread_mutex_init(&queue->lock, NULL);
	*out = queue;
	return ERR_OK;
}

void event_queue_free(struct event_queue *queue)
{
	if (!queue)
		return;
	close(queue->descriptor);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

int event_queue_descriptor(const struct event_queue *queue)
{
	return queue->descriptor;
}

enum err event_queue_push(struct event_queue *queue, const struct engine_event *event)
{
	enum err err = ERR_FULL;
	pthread_mutex_lock(&queue->lock);
	if (queue->count < EVENT_QUEUE_MAX || (event->type == ENGINE_EVENT_ENDED && queue->count == EVENT_QUEUE_MAX)) {
		queue->events[(queue->first + queue->count++) % (EVENT_QUEUE_MAX + 1)] = *event;
		eventfd_write(queue->descriptor, 1);
		err = ERR_OK;
	}
	pthread_mutex_unlock(&queue->lock);
	return err;
}

bool event_queue_pop(struct event_queue *queue, struct engine_event *out)
{
	eventfd_t ignored;
	pthread_mutex_lock(&queue->lock);
	bool has_event = queue->count > 0;
	if (has_event) {
		*out = queue->events[queue->first];
		queue->first = (queue->first + 1) % (EVENT_QUEUE_MAX + 1);
		queue->count--;
	}
	if (queue->count == 0)
		(void)eventfd_read(queue->descriptor, &ignored);
	pthread_mutex_unlock(&queue->lock);
	return has_event;
}
