// SPDX-License-Identifier: Apache-2.0
#include "client/cli/report.h"

#include <string.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

// The engine lets only printable names through. Who has none is shown by the first digits of the participant's id.
static const char *display_name(const struct engine_member *member, char id[static TEXT_UUID_SIZE])
{
	if (member && member->name[0])
		return member->name;
	if (member)
		text_id_emit(&member->participant, id);
	id[8] = 0;
	return id;
}

static void clear_line(FILE *out)
{
	if (isatty(fileno(out)))
		fputs(CLEAR_LINE, out);
}

static void print_state(FILE *out, const struct engine_event *event)
{
	if (event->state == ENGINE_JOINED)
		fputs("in the meeting\n", out);
	else if (event->state == ENGINE_RECONNECTING)
		fprintf(out, "connection lost (%s), coming back\n", event->problem);
}

static void on_event(FILE *out, const struct engine_event *event)
{
	char id[TEXT_UUID_SIZE] = "";
	clear_line(out);
	switch (event->type) {
	case ENGINE_EVENT_STATE:
		print_state(out, event);
		break;
	case ENGINE_EVENT_TICKET:
		fprintf(out, "meeting: %s\n", event->title);
		if (event->problem[0])
			fprintf(out, "the meeting is not remembered: %s\n", event->problem);
		break;
	case ENGINE_EVENT_MEMBER:
		fprintf(out, "%s is here%s\n", display_name(&event->member, id),
			event->member.is_readable ? "" : " but shows no key of this meeting");
		break;
	case ENGINE_EVENT_GONE:
		fprintf(out, "%s has left\n", display_name(&event->member, id));
		break;
	case ENGINE_EVENT_PATH:
		fprintf(out, "media goes over %s\n", event->is_udp ? "UDP" : "TLS");
		break;
	case ENGINE_EVENT_ENDED:
		if (event->problem[0])
			fprintf(out, "tcc-cli: %s\n", event->problem);
		break;
	case ENGINE_EVENT_FIRST_FRAME:
		break;
	}
	fflush(out);
}

static double loss_percent(const struct engine_statistics *statistics)
{
	uint64_t lost = 0, all = 0;
	for (size_t i = 0; i < statistics->stream_count; i++) {
		lost += statistics->streams[i].lost;
		all += statistics->streams[i].lost + statistics->streams[i].packets;
	}
	return all ? 100.0 * (double)lost / (double)all : 0;
}

// One line that is written over and over; a file or pipe gets none of it.
static void on_second(FILE *out, const struct engine_statistics *statistics, size_t member_count)
{
	if (!isatty(fileno(out)))
		return;
	fprintf(out, CLEAR_LINE "%zu other%s · %s · %.1f %% lost · round trip %.0f ms", member_count, member_count == 1 ? "" : "s",
		statistics->is_udp ? "UDP" : "TLS", loss_percent(statistics), statistics->round_trip_ms);
	fflush(out);
}

static const struct engine_member *find(const struct engine_member *members, size_t count, const struct id *participant)
{
	for (size_t i = 0; i < count; i++) {
		if (text_id_equal(&members[i].participant, participant))
			return &members[i];
	}
	return NULL;
}

static void on_end(FILE *out, const struct engine_statistics *statistics, const struct engine_member *members, size_t member_count)
{
	clear_line(out);
	if (statistics->stream_count)
		fprintf(out, "%-20s %-5s %8s %6s %9s %8s %9s %9s %8s %9s\n", "from", "kind", "packets", "lost", "recovered", "kbit/s",
			"p50 ms", "p99 ms", "frames", "concealed");
	for (size_t i = 0; i < statistics->stream_count; i++) {
		const struct media_stream_stats *stream = &statistics->streams[i];
		char id[TEXT_UUID_SIZE] = "";
		text_id_emit(&stream->participant, id);
		fprintf(out, "%-20.40s %-5s %8llu %6llu %9llu %8.0f %9.1f %9.1f %8llu %9llu\n",
			display_name(find(members, member_count, &stream->participant), id), stream->is_video ? "video" : "audio",
			(unsigned long long)stream->packets, (unsigned long long)stream->lost, (unsigned long long)stream->recovered,
			stream->bitrate / 1000, stream->latency_p50_ms, stream->latency_p99_ms, (unsigned long long)stream->frames,
			(unsigned long long)stream->concealed);
	}
	// Nothing that could not be decrypted is worth saying; of the other counters only what happened is.
	fprintf(out, "sent %llu packets, received %llu, of which %llu could not be decrypted",
		(unsigned long long)statistics->packets_sent, (unsigned long long)statistics->packets_received,
		(unsigned long long)statistics->counters.value[COUNTER_decrypt_failed]);
	for (int i = 0; i < COUNTER_COUNT; i++) {
		if (i != COUNTER_decrypt_failed && statistics->counters.value[i])
			fprintf(out, ", %s %llu", session_counters_name((enum counter)i), (unsigned long long)statistics->counters.value[i]);
	}
	fputc('\n', out);
	fflush(out);
}

const struct report report_text = { .on_event = on_event, .on_second = on_second, .on_end = on_end };
