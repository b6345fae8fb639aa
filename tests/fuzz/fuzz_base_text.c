// Hex, base64url, UUIDs, UTF-8 and configuration lines. SPDX-License-Identifier: Apache-2.0
#include "base/options.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct config {
	char text[OPTION_TEXT_MAX], path[OPTION_TEXT_MAX], address[OPTION_TEXT_MAX];
	uint64_t number;
	bool is_on;
	unsigned choice;
};
static const struct option_row rows[] = {
	{ "text", OPTION_TEXT, offsetof(struct config, text), 0, 20, NULL, "", NULL, "" },
	{ "path", OPTION_PATH, offsetof(struct config, path), 0, 0, NULL, "", NULL, "" },
	{ "address", OPTION_ADDRESS, offsetof(struct config, address), 0, 0, NULL, "", NULL, "" },
	{ "number", OPTION_NUMBER, offsetof(struct config, number), 0, 9, NULL, "1", NULL, "" },
	{ "on", OPTION_BOOL, offsetof(struct config, is_on), 0, 0, NULL, "no", NULL, "" },
	{ "choice", OPTION_CHOICE, offsetof(struct config, choice), 0, 0, "a|bb|", "a", NULL, "" },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[512], again[1024], problem[OPTION_PROBLEM_MAX];
	uint8_t bytes[512];
	struct config config = { 0 };
	struct id id;
	size_t n;
	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	(void)text_is_printable(text, size);
	if (!text_base64_parse(text, size, bytes, sizeof(bytes), &n)) {
		text_base64_emit(bytes, n, again);
		if (strlen(again) != size || memcmp(again, data, size) != 0)
			abort(); // one text for one value
	}
	if (!text_id_parse(text, &id))
		text_id_emit(&id, again);
	if (!text_hex_parse(text, bytes, size / 2))
		text_hex_emit(bytes, size / 2, again);
	if (options_set(rows, sizeof(rows) / sizeof(rows[0]), text, &config, problem) && problem[0] == '\0')
		abort();
	return 0;
}
