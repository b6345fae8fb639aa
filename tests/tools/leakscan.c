// Could the servers have listened? Searches their live memory, and a capture of their traffic, for the meeting's
// keys and for encoded sound and pictures.
//
//   leakscan --pcap FILE [--packets FILE] --member UUID:RUN … --process NAME:PID … [--control-out FILE]  < LINK
//   leakscan --pcap FILE --process NAME:PID … --control-in FILE
//
// The first form makes the keys from the meeting link and the members' run ids, opens the captured media with
// them (which proves that they are the keys in use), and searches for the keys and for pieces of what was in the
// packets. --packets: where else to find media packets (over TLS a capture shows none). It writes a key and an
// encoded frame to FILE for somebody to plant in the server. The second form, the positive control, is the same
// search for what was planted. One line of JSON; exit status 0: nothing found (control: all found), 1: something
// found (control: not all), 2: could not judge. SPDX-License-Identifier: Apache-2.0
#include "base/text.h"
#include "tests/tools/opened_media.h"
#include "tests/tools/process_memory.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/stat.h>

enum { PROCESSES_MAX = 32, FRAME_MIN_BYTES = 4 * NEEDLE_BYTES };

struct process {
	char name[64];
	long pid;
	struct needles_hits hits;
	uint64_t unreadable_bytes;
};

struct scan {
	const char *pcap, *packets, *control_in, *control_out;
	struct process processes[PROCESSES_MAX];
	size_t process_count;
	struct opened_media media;
	struct opened_member members[OPENED_MEMBERS_MAX];
	size_t member_count;
	struct needles needles;
	struct needles_hits capture_hits;
};

static int fail(const char *what, const char *object, const char *why)
{
	fprintf(stderr, "leakscan: %s %s: %s\n", what, object, why);
	return 2;
}

static bool parse_process(const char *text, struct scan *scan)
{
	struct process *process = &scan->processes[scan->process_count];
	const char *colon = strrchr(text, ':');
	uint64_t pid;
	if (scan->process_count == PROCESSES_MAX || !colon || (size_t)(colon - text) >= sizeof(process->name) ||
	    text_u64_parse(colon + 1, 1, INT32_MAX, &pid) != ERR_OK)
		return false;
	memcpy(process->name, text, (size_t)(colon - text));
	process->pid = (long)pid;
	scan->process_count++;
	return text_is_printable(process->name, strlen(process->name)) && !strpbrk(process->name, "\"\\");
}

static bool parse_member(const char *text, struct scan *scan)
{
	struct opened_member *member = &scan->members[scan->member_count];
	char uuid[TEXT_UUID_SIZE] = "";
	if (scan->member_count == OPENED_MEMBERS_MAX || strlen(text) < TEXT_UUID_SIZE || text[TEXT_UUID_CHARS] != ':')
		return false;
	memcpy(uuid, text, TEXT_UUID_CHARS);
	scan->member_count++;
	return text_id_parse(uuid, &member->participant) == ERR_OK &&
	       text_hex_parse(text + TEXT_UUID_SIZE, member->run, sizeof(member->run)) == ERR_OK;
}

static bool parse_arguments(int argc, char **argv, struct scan *scan)
{
	static const struct option options[] = {
		{ "pcap", required_argument, NULL, 'c' },        { "packets", required_argument, NULL, 'p' },
		{ "member", required_argument, NULL, 'm' },      { "process", required_argument, NULL, 'x' },
		{ "control-in", required_argument, NULL, 'i' },  { "control-out", required_argument, NULL, 'o' },
		{},
	};
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (option) {
		case 'c': scan->pcap = optarg; break;
		case 'p': scan->packets = optarg; break;
		case 'i': scan->control_in = optarg; break;
		case 'o': scan->control_out = optarg; break;
		case 'm':
			if (!parse_member(optarg, scan))
				return false;
			break;
		case 'x':
			if (!parse_process(optarg, scan))
				return false;
			break;
		default: return false;
		}
	return optind == argc && scan->pcap && scan->process_count > 0 && (scan->control_in || scan->member_count > 0);
}

// The meeting link on standard input: not an argument, those are visible to all.
static int read_link(struct scan *scan)
{
	char text[TOKEN_LINK_MAX + 2] = "";
	struct token_link link;
	if (!fgets(text, sizeof(text), stdin))
		return fail("cannot read", "the meeting link", "nothing on standard input");
	text[strcspn(text, "\r\n")] = 0;
	enum err err = token_link_parse(text, &link);
	if (err != ERR_OK || link.kind != TOKEN_LINK_MEETING)
		return fail("cannot use", "the line on standard input", "not a meeting link");
	err = srtp_box_library_init();
	if (err == ERR_OK)
		err = opened_media_init(&scan->media, &link);
	memcpy(scan->media.members, scan->members, sizeof(scan->members));
	scan->media.member_count = scan->member_count;
	return err == ERR_OK ? 0 : fail("cannot make", "the meeting's keys", err_text(err));
}

static int write_control(const struct scan *scan)
{
	char key[TEXT_HEX_SIZE(SRTP_MASTER_BYTES)], frame[TEXT_HEX_SIZE(PACKET_MAX_BYTES)];
	if (scan->media.frame_size == 0)
		return fail("cannot write", scan->control_out, "no encoded picture was opened");
	mode_t mask = umask(077);
	FILE *file = fopen(scan->control_out, "we");
	umask(mask);
	if (!file)
		return fail("cannot write", scan->control_out, strerror(errno));
	text_hex_emit(scan->media.frame_master, SRTP_MASTER_BYTES, key);
	text_hex_emit(scan->media.frame, scan->media.frame_size, frame);
	fprintf(file, "%s\n%s\n", key, frame);
	return fclose(file) == 0 ? 0 : fail("cannot write", scan->control_out, strerror(errno));
}

static int read_control(struct scan *scan)
{
	char line[TEXT_HEX_SIZE(PACKET_MAX_BYTES) + 1];
	uint8_t key[SRTP_MASTER_BYTES], frame[PACKET_MAX_BYTES];
	FILE *file = fopen(scan->control_in, "re");
	if (!file)
		return fail("cannot read", scan->control_in, strerror(errno));
	bool is_good = fgets(line, sizeof(line), file) && (line[strcspn(line, "\n")] = 0, true) &&
		       text_hex_parse(line, key, sizeof(key)) == ERR_OK && fgets(line, sizeof(line), file);
	fclose(file);
	line[strcspn(line, "\n")] = 0;
	size_t size = strlen(line) / 2;
	if (!is_good || size < FRAME_MIN_BYTES || size > sizeof(frame) || text_hex_parse(line, frame, size) != ERR_OK)
		return fail("cannot use", scan->control_in, "not a key and a frame in hex");
	enum err err = needles_add_secret(&scan->needles, key, sizeof(key), "planted key");
	if (err == ERR_OK)
		err = opened_media_add_pieces(&scan->needles, frame, size, "planted frame");
	return err == ERR_OK ? 0 : fail("cannot use", scan->control_in, err_text(err));
}

static int collect(struct scan *scan)
{
	if (scan->control_in)
		return read_control(scan);
	int status = read_link(scan);
	if (status)
		return status;
	enum err err = opened_media_capture(&scan->media, scan->pcap, &scan->needles);
	if (err != ERR_OK)
		return fail("cannot read", scan->pcap, err == ERR_IO ? strerror(errno) : err_text(err));
	if (scan->packets) {
		err = opened_media_capture(&scan->media, scan->packets, &scan->needles);
		if (err != ERR_OK)
			return fail("cannot read", scan->packets, err == ERR_IO ? strerror(errno) : err_text(err));
	}
	if (scan->media.audio_packets == 0 || scan->media.video_packets == 0)
		return fail("cannot judge by", scan->pcap, "no media packets opened with the keys of this meeting");
	err = opened_media_add_keys(&scan->media, &scan->needles);
	if (err != ERR_OK)
		return fail("cannot make", "the meeting's keys", err_text(err));
	return scan->control_out ? write_control(scan) : 0;
}

static int search(struct scan *scan)
{
	struct pcap pcap;
	enum err err = pcap_read(scan->pcap, &pcap);
	if (err != ERR_OK)
		return fail("cannot read", scan->pcap, err == ERR_IO ? strerror(errno) : err_text(err));
	needles_search(&scan->needles, pcap.bytes, pcap.size, 0, &scan->capture_hits);
	pcap_fini(&pcap);
	for (size_t i = 0; i < scan->process_count; i++) {
		struct process *process = &scan->processes[i];
		err = process_memory_search(process->pid, &scan->needles, &process->hits, &process->unreadable_bytes);
		if (err != ERR_OK || process->hits.bytes == 0)
			return fail("cannot read the memory of", process->name, strerror(errno));
	}
	return 0;
}

static void print_hits(const char *kind, const char *name, const struct needles_hits *hits)
{
	printf("{\"%s\":\"%s\",\"bytes\":%" PRIu64 ",\"keys\":%" PRIu64 ",\"plaintext\":%" PRIu64, kind, name, hits->bytes,
	       hits->of_kind[NEEDLE_KEY], hits->of_kind[NEEDLE_PLAINTEXT]);
	if (hits->first)
		printf(",\"first\":\"%s\",\"first_offset\":%" PRIu64, hits->first->what, hits->first_offset);
	printf("}");
}

static int report(const struct scan *scan)
{
	uint64_t keys = scan->capture_hits.of_kind[NEEDLE_KEY], plaintext = scan->capture_hits.of_kind[NEEDLE_PLAINTEXT];
	uint64_t memory_keys = 0, memory_plaintext = 0, memory_bytes = 0;
	for (size_t i = 0; i < scan->process_count; i++) {
		memory_keys += scan->processes[i].hits.of_kind[NEEDLE_KEY];
		memory_plaintext += scan->processes[i].hits.of_kind[NEEDLE_PLAINTEXT];
		memory_bytes += scan->processes[i].hits.bytes;
	}
	bool is_control = keys && plaintext && memory_keys && memory_plaintext;
	printf("{\"keys_found\":%" PRIu64 ",\"plaintext_found\":%" PRIu64 ",\"needles\":%zu,\"streams_opened\":%zu,"
	       "\"audio_packets\":%" PRIu64 ",\"video_packets\":%" PRIu64 ",\"repeated_packets\":%" PRIu64
	       ",\"unopened_packets\":%" PRIu64 ",\"memory_bytes\":%" PRIu64 ",\"places\":[",
	       keys + memory_keys, plaintext + memory_plaintext, scan->needles.count, scan->media.stream_count,
	       scan->media.audio_packets, scan->media.video_packets, scan->media.repeated, scan->media.unopened, memory_bytes);
	print_hits("capture", "traffic", &scan->capture_hits);
	for (size_t i = 0; i < scan->process_count; i++) {
		printf(",");
		print_hits("memory", scan->processes[i].name, &scan->processes[i].hits);
	}
	printf("]}\n");
	bool is_clean = keys + memory_keys + plaintext + memory_plaintext == 0;
	return (scan->control_in ? is_control : is_clean) ? 0 : 1;
}

int main(int argc, char **argv)
{
	static struct scan scan; // large
	int status = 2;
	if (!parse_arguments(argc, argv, &scan)) {
		fprintf(stderr, "usage: leakscan --pcap FILE [--packets FILE] --member UUID:RUN … --process NAME:PID … "
				"[--control-out FILE] < LINK\n"
				"       leakscan --pcap FILE --process NAME:PID … --control-in FILE\n");
		return 2;
	}
	if (needles_init(&scan.needles) != ERR_OK)
		return fail("cannot search", "anything", err_text(ERR_NOMEM));
	status = collect(&scan);
	if (status == 0)
		status = search(&scan);
	if (status == 0)
		status = report(&scan);
	opened_media_fini(&scan.media);
	needles_fini(&scan.needles);
	return status;
}
