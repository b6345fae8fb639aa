// What the relay and its manager parse of each other and of the management server: the first byte chooses.
// SPDX-License-Identifier: Apache-2.0
#include "relay/control_socket.h"
#include "relay/journal.h"
#include "relay/manager_events.h"
#include "relay/manager_report.h"
#include "relay/relay_enrol.h"

#include <stdlib.h>
#include <string.h>

static void on_message(void *context, const struct manager_message *message)
{
	uint8_t bytes[MANAGER_MESSAGE_BYTES];
	struct manager_message again;
	manager_message_emit(message, bytes);
	if (manager_message_parse(bytes, sizeof(bytes), &again)) // what events say can be told to the relay
		abort();
	manager_report_add(context, &again);
}

static void message_round_trip(const uint8_t *data, size_t size, struct manager_report *report)
{
	struct manager_message message;
	uint8_t again[MANAGER_MESSAGE_BYTES];
	if (manager_message_parse(data, size, &message))
		return;
	manager_message_emit(&message, again);
	if (memcmp(again, data, size) != 0)
		abort();
	manager_report_add(report, &message);
	(void)manager_report_take(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct manager_report report;
	static struct relay_enrol_answer answer;
	static struct manager_events events;
	struct control_socket_request request;
	struct journal_entry entry;
	if (size == 0)
		return 0;
	uint8_t choice = *data++;
	size--;
	if (!report.engine)
		manager_report_init(&report, "fuzz");
	if (choice == 'm') {
		message_round_trip(data, size, &report);
	} else if (choice == 'e') {
		events = (struct manager_events){ .on_message = on_message, .context = &report };
		(void)!manager_events_feed(&events, (const char *)data, size);
	} else if (choice == 'a') {
		(void)!relay_enrol_answer_parse((const char *)data, size, &answer);
	} else if (choice == 'r') {
		(void)!control_socket_request_parse((const char *)data, size, &request);
	} else if (choice == 'j' && size == JOURNAL_RECORD_BYTES) {
		(void)!journal_record_parse(data, &entry);
	}
	return 0;
}
