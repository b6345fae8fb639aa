// Clients that send to each other in one process, through a network with loss, delay and jitter, in real time:
//
//   media_loop --audio FILE.wav --video FILE.y4m --record DIR [--clients 3] [--duration 20] [--loss PERCENT]
//              [--delay MS] [--jitter MS] [--seed N]
//
// Prints one JSON object: for every pair PSNR, correlation of sound, latencies and losses; the processor time of
// all. SPDX-License-Identifier: Apache-2.0
#include "client/engine/media/audio_source.h"
#include "client/engine/media/media.h"
#include "client/engine/media/timebase.h"
#include "client/engine/media/wav_reader.h"
#include "client/engine/media/y4m_reader.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CLIENTS_MAX = 8, QUEUE = 16384, HISTORY = 4096, COUNTERS = 64, SEARCH_MS = 60, COARSE = 8 };

struct packet {
	uint64_t due_ns;
	unsigned to;
	struct packet_rtp rtp;
	size_t size;
	uint8_t payload[PACKET_MEDIA_PAYLOAD_MAX];
};

struct client {
	unsigned number;
	struct id id;
	struct media *media;
	uint64_t epoch_ns;
	atomic_uint sequence[2];
	struct packet history[2][HISTORY]; // by sequence
	char directory[PATH_MAX / 2];
};

struct settings {
	const char *audio, *video, *record;
	double clients, duration, loss, delay, jitter, seed;
};

static struct settings settings = { .clients = 2, .duration = 20, .delay = 1, .seed = 1 };
static struct client *clients[CLIENTS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct packet *queue[QUEUE];
static size_t queued;
static uint64_t sent, lost, overflowed;
static atomic_bool is_over;

static double chance(void)
{
	return (double)rand() / RAND_MAX; // one seeded sequence, under the lock
}

// Under the lock.
static void enqueue(unsigned to, const struct packet_rtp *rtp, const uint8_t *payload, size_t size)
{
	sent++;
	double late_ms = settings.delay + settings.jitter * chance();
	if (chance() * 100 < settings.loss) {
		lost++;
		return;
	}
	struct packet *p = queued < QUEUE ? malloc(sizeof *p) : NULL;
	if (!p) {
		overflowed++;
		return;
	}
	p->due_ns = timebase_now_ns() + (uint64_t)(late_ms * 1e6);
	p->to = to;
	p->rtp = *rtp;
	p->size = size;
	memcpy(p->payload, payload, size);
	queue[queued++] = p;
}

static void on_packet(void *context, uint8_t stream, const struct packet_rtp *rtp, const uint8_t *payload, size_t size)
{
	struct client *from = context;
	struct packet_rtp full = *rtp;
	full.ssrc = packet_ssrc(from->number, stream);
	full.sequence = (uint16_t)atomic_fetch_add(&from->sequence[stream], 1);
	pthread_mutex_lock(&lock);
	struct packet *kept = &from->history[stream][full.sequence % HISTORY];
	kept->rtp = full;
	kept->size = size;
	memcpy(kept->payload, payload, size);
	for (unsigned to = 0; to < (unsigned)settings.clients; to++)
		if (to != from->number)
			enqueue(to, &full, payload, size);
	pthread_mutex_unlock(&lock);
}

static void on_key_frame_needed(void *context, uint32_t ssrc)
{
	(void)context;
	media_force_key_frame(clients[packet_ssrc_index(ssrc)]->media, packet_ssrc_stream(ssrc));
}

static void on_missing(void *context, uint32_t ssrc, const uint16_t *sequences, size_t count)
{
	struct client *to = context, *from = clients[packet_ssrc_index(ssrc)];
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count; i++) {
		struct packet *kept = &from->history[packet_ssrc_stream(ssrc)][sequences[i] % HISTORY];
		if (kept->size && kept->rtp.sequence == sequences[i])
			enqueue(to->number, &kept->rtp, kept->payload, kept->size);
	}
	pthread_mutex_unlock(&lock);
}

static struct packet *take_due(uint64_t now_ns)
{
	struct packet *found = NULL;
	pthread_mutex_lock(&lock);
	size_t best = queued;
	for (size_t i = 0; i < queued; i++)
		if (queue[i]->due_ns <= now_ns && (best == queued || queue[i]->due_ns < queue[best]->due_ns))
			best = i;
	if (best < queued) {
		found = queue[best];
		memmove(&queue[best], &queue[best + 1], (queued - best - 1) * sizeof queue[0]);
		queued--;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

static void *run_network(void *argument)
{
	(void)argument;
	while (!atomic_load(&is_over)) {
		struct packet *p = take_due(timebase_now_ns());
		if (!p) {
			timebase_sleep_until_ns(timebase_now_ns() + MEDIA_MS);
			continue;
		}
		media_receive(clients[p->to]->media, &p->rtp, p->payload, p->size, timebase_wall_ns());
		free(p);
	}
	while (queued > 0)
		free(queue[--queued]);
	return NULL;
}

static void fail(const char *text)
{
	fprintf(stderr, "media_loop: %s\n", text);
	exit(1);
}

static void start_client(unsigned number)
{
	struct client *c = calloc(1, sizeof *c);
	char problem[MEDIA_PROBLEM_BYTES], command[PATH_MAX];
	if (!c)
		fail("no memory");
	clients[number] = c;
	c->number = number;
	memset(c->id.bytes, 0x10 + (int)number, sizeof c->id.bytes);
	snprintf(c->directory, sizeof c->directory, "%s/%u", settings.record, number);
	snprintf(command, sizeof command, "mkdir -p '%s'", c->directory);
	if (system(command) != 0)
		fail("cannot make the directory");
	struct media_options options = { .audio_path = settings.audio, .video_path = settings.video, .record_path = c->directory,
					 .on_packet = on_packet, .on_key_frame_needed = on_key_frame_needed, .on_missing = on_missing, .context = c };
	if (media_new(&options, &c->media, problem) != ERR_OK)
		fail(problem);
}

static void connect_clients(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (media_start(clients[i]->media, &clients[i]->epoch_ns) != ERR_OK)
			fail("cannot start");
	for (unsigned i = 0; i < count; i++)
		for (unsigned from = 0; from < count; from++)
			if (i != from && media_participant_set(clients[i]->media, &clients[from]->id, from, clients[from]->epoch_ns, "00") != ERR_OK)
				fail("cannot set a participant");
}

// ---------------------------------------------------------------- what came out

static double psnr(const uint8_t *a, const uint8_t *b, size_t size)
{
	double sum = 0;
	for (size_t i = 0; i < size; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sum > 0 ? fmin(10 * log10(255.0 * 255.0 * (double)size / sum), 99) : 99;
}

struct picture_result {
	double sum, least;
	unsigned pictures, repeats;
};

static struct picture_result compare_pictures(const char *base)
{
	struct picture_result result = { .least = 99 };
	struct y4m_reader *was, *is;
	char path[PATH_MAX + 128], problem[MEDIA_PROBLEM_BYTES], line[256];
	snprintf(path, sizeof path, "%s.y4m", base);
	if (y4m_reader_open(settings.video, &was, problem) != ERR_OK || y4m_reader_open(path, &is, problem) != ERR_OK)
		fail(problem);
	size_t size = y4m_picture_bytes(y4m_reader_format(is));
	uint8_t *a = malloc(size), *b = malloc(size);
	snprintf(path, sizeof path, "%s.frames", base);
	FILE *list = fopen(path, "r");
	if (!list || !a || !b)
		fail("no list of pictures");
	while (fgets(line, sizeof line, list)) {
		unsigned file, number, timestamp, is_repeat;
		uint64_t capture, playout;
		if (sscanf(line, "%u %u %u %" SCNu64 " %" SCNu64 " %u", &file, &number, &timestamp, &capture, &playout, &is_repeat) != 6 || file != 1)
			continue;
		const struct y4m_format *format = y4m_reader_format(was);
		uint64_t source = ((uint64_t)timestamp * format->rate_num / format->rate_den + 45000) / 90000;
		if (y4m_reader_read(was, source, a) != ERR_OK || y4m_reader_read(is, number, b) != ERR_OK)
			fail("pictures cannot be read");
		result.repeats += is_repeat;
		if (is_repeat)
			continue;
		double value = psnr(a, b, size);
		result.pictures++;
		result.sum += value;
		result.least = fmin(result.least, value);
	}
	fclose(list);
	free(a);
	free(b);
	y4m_reader_free(was);
	y4m_reader_free(is);
	return result;
}

static double correlate(const int16_t *a, const int16_t *b, size_t count, size_t step)
{
	double ab = 0, aa = 0, bb = 0;
	for (size_t i = 0; i < count; i += step) {
		ab += (double)a[i] * b[i];
		aa += (double)a[i] * a[i];
		bb += (double)b[i] * b[i];
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

// Best correlation of what was recorded with what was sent, and by how much it stands off the capture time.
static double compare_sound(const char *base, uint64_t epoch_ns, double *offset_ms)
{
	char path[PATH_MAX + 128], problem[MEDIA_PROBLEM_BYTES];
	struct wav_reader *wav;
	struct audio_source *source;
	snprintf(path, sizeof path, "%s.wav", base);
	if (wav_reader_open(path, &wav, problem) != ERR_OK || audio_source_open(settings.audio, &source, problem) != ERR_OK)
		fail(problem);
	size_t margin = SEARCH_MS * 48, frames = (size_t)wav_reader_format(wav)->frames;
	snprintf(path, sizeof path, "sed -n 's/.*\"capture_ns\": \\([0-9]*\\).*/\\1/p' '%s.json' | head -n 1", base);
	FILE *json = popen(path, "r");
	uint64_t capture = 0;
	if (!json || fscanf(json, "%" SCNu64, &capture) != 1)
		fail("no description");
	pclose(json);
	size_t start = (size_t)((double)(int64_t)(capture - epoch_ns) * 48e-6), total = start + frames + 2 * margin + MEDIA_AUDIO_FRAME;
	int16_t *sent_sound = calloc(total + margin, 2), *heard = calloc(frames, 2);
	if (!sent_sound || !heard || wav_reader_read(wav, 0, heard, frames) != ERR_OK)
		fail("sound cannot be read");
	for (size_t at = margin; at + MEDIA_AUDIO_FRAME < total + margin; at += MEDIA_AUDIO_FRAME)
		if (audio_source_read(source, sent_sound + at) != ERR_OK)
			fail("sound cannot be read");
	double best = -1;
	size_t best_at = 0;
	for (size_t lag = 0; lag < 2 * margin; lag += 4) {
		double c = correlate(sent_sound + start + lag, heard, frames, COARSE + 1);
		if (c > best) {
			best = c;
			best_at = lag;
		}
	}
	for (size_t lag = best_at > 8 ? best_at - 8 : 0; lag < best_at + 8; lag++)
		best = fmax(best, correlate(sent_sound + start + lag, heard, frames, 1));
	*offset_ms = ((double)best_at - (double)margin) / 48;
	free(sent_sound);
	free(heard);
	wav_reader_free(wav);
	audio_source_free(source);
	return best;
}

static void print_stats(const struct media_stream_stats *s)
{
	printf("\"%s\":{\"packets\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"recovered\":%" PRIu64 ",\"frames\":%" PRIu64 ",\"concealed\":%" PRIu64
	       ",\"keys_asked\":%" PRIu64 ",\"p50_ms\":%.1f,\"p95_ms\":%.1f,\"p99_ms\":%.1f,\"kbps\":%.0f},",
	       s->is_video ? "video" : "audio", s->packets, s->lost, s->recovered, s->frames, s->concealed, s->key_frames_requested,
	       s->latency_p50_ms, s->latency_p95_ms, s->latency_p99_ms, s->bitrate / 1000);
}

static void print_pair(unsigned to, unsigned from, const struct media_stream_stats *stats, size_t count)
{
	char base[PATH_MAX], uuid[TEXT_UUID_SIZE];
	text_id_emit(&clients[from]->id, uuid);
	snprintf(base, sizeof base, "%s/%s", clients[to]->directory, uuid);
	printf("{\"to\":%u,\"from\":%u,", to, from);
	for (size_t i = 0; i < count; i++)
		if (text_id_equal(&stats[i].participant, &clients[from]->id))
			print_stats(&stats[i]);
	if (settings.video) {
		struct picture_result r = compare_pictures(base);
		printf("\"psnr_db\":%.2f,\"psnr_min_db\":%.2f,\"pictures\":%u,\"repeats\":%u,", r.pictures ? r.sum / r.pictures : 0, r.least,
		       r.pictures, r.repeats);
	}
	double offset_ms = 0, correlation = settings.audio ? compare_sound(base, clients[from]->epoch_ns, &offset_ms) : 0;
	printf("\"correlation\":%.4f,\"offset_ms\":%.2f}", correlation, offset_ms);
}

static void print_counters(const struct media_counter counters[][COUNTERS], size_t rows, unsigned count)
{
	printf("],\"counters\":{");
	const char *comma = "";
	for (size_t row = 0; row < rows; row++) {
		uint64_t total = 0;
		for (unsigned i = 0; i < count; i++)
			total += counters[i][row].count;
		if (total > 0) {
			printf("%s\"%s\":%" PRIu64, comma, counters[0][row].name, total);
			comma = ",";
		}
	}
	printf("},");
}

static void read_arguments(int count, char **arguments)
{
	const struct { const char *name; const char **text; double *number; } table[] = {
		{ "--audio", &settings.audio, NULL },      { "--video", &settings.video, NULL },
		{ "--record", &settings.record, NULL },    { "--clients", NULL, &settings.clients },
		{ "--duration", NULL, &settings.duration }, { "--loss", NULL, &settings.loss },
		{ "--delay", NULL, &settings.delay },      { "--jitter", NULL, &settings.jitter },
		{ "--seed", NULL, &settings.seed },
	};
	for (int i = 1; i + 1 < count; i += 2)
		for (size_t row = 0; row < sizeof table / sizeof table[0]; row++) {
			if (strcmp(arguments[i], table[row].name) != 0)
				continue;
			if (table[row].text)
				*table[row].text = arguments[i + 1];
			else
				*table[row].number = atof(arguments[i + 1]);
		}
	if (!settings.record || settings.clients < 2 || settings.clients > CLIENTS_MAX)
		fail("--record DIR is needed, and 2 to 8 clients");
}

int main(int argument_count, char **arguments)
{
	static struct media_stream_stats stats[CLIENTS_MAX][CLIENTS_MAX * 2];
	static struct media_counter counters[CLIENTS_MAX][COUNTERS];
	size_t stat_count[CLIENTS_MAX], counter_count = 0;
	pthread_t network;
	read_arguments(argument_count, arguments);
	unsigned count = (unsigned)settings.clients;
	srand((unsigned)settings.seed);
	for (unsigned i = 0; i < count; i++)
		start_client(i);
	if (pthread_create(&network, NULL, run_network, NULL) != 0)
		fail("no thread");
	connect_clients(count);
	timebase_sleep_until_ns(timebase_now_ns() + (uint64_t)(settings.duration * 1e9));
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	for (unsigned i = 0; i < count; i++)
		stat_count[i] = media_stats(clients[i]->media, stats[i], CLIENTS_MAX * 2);
	for (unsigned i = 0; i < count; i++)
		counter_count = media_counters(clients[i]->media, counters[i], COUNTERS);
	atomic_store(&is_over, true);
	pthread_join(network, NULL);
	for (unsigned i = 0; i < count; i++)
		media_free(clients[i]->media);
	printf("{\"pairs\":[");
	for (unsigned to = 0; to < count; to++)
		for (unsigned from = 0; from < count; from++)
			if (to != from) {
				print_pair(to, from, stats[to], stat_count[to]);
				printf(to == count - 1 && from == count - 2 ? "" : ",\n");
			}
	print_counters(counters, counter_count, count);
	double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	printf("\"packets_sent\":%" PRIu64 ",\"packets_dropped\":%" PRIu64 ",\"packets_overflowed\":%" PRIu64 ",\"cpu_cores\":%.3f}\n", sent, lost,
	       overflowed, cpu / settings.duration);
	for (unsigned i = 0; i < count; i++)
		free(clients[i]);
	return 0;
}
