/* mayctl api and status: a request to a monitor, and what it answers. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/show.h"
#include "api/ctl/vm/client.h"
#include "vmm/base/args.h"
#include "vmm/base/printable.h"

/*
 * The sentence of an error answer, or all of it where it has another form. A
 * guest may have its monitor by now, so a terminal gets nothing it would obey.
 */
static void print_fault(const struct client_answer *answer)
{
	json_t *json = json_loads(answer->body, 0, NULL);
	const char *text =
		json_string_value(json_object_get(json, "fault_message"));
	size_t size;
	char *shown;

	if (!text)
		text = answer->body;
	size = 4 * strlen(text) + 1;
	shown = malloc(size);
	if (shown)
		printable_copy(text, strlen(text), shown, size);
	ctl_complain("%s", shown ? shown : "no memory for the answer");
	free(shown);
	json_decref(json);
}

/* Asks, and complains where that fails. Returns an exit code. */
static int ask(const char *socket, const char *method, const char *path,
	       const char *body, struct client_answer *answer)
{
	struct err e = {0};
	int rc = client_request(socket, method, path, body, answer, &e);

	if (rc) {
		ctl_complain("%s", e.text);
		return rc == -ENOTCONN ? CTL_UNREACHABLE : CTL_REFUSED;
	}
	if (answer->status / 100 == 2)
		return CTL_OK;
	print_fault(answer);
	return CTL_REFUSED;
}

/* Reads [--socket PATH] and up to max words. -1 after a complaint. */
static int read_words(int argc, char **argv, const char **socket,
		      const char **words, int max)
{
	static const struct arg table[] = {{"socket", "PATH"}};
	struct args a = ARGS(table, 0, argc, argv);
	enum args_found found;
	int count = 0;

	*socket = CTL_SOCKET;
	while ((found = args_next(&a))) {
		/* A single dash is as good a word as any. */
		const bool is_word = found == ARGS_WORD ||
				     (found == ARGS_UNKNOWN &&
				      strncmp(a.word, "--", 2) != 0);

		if (found == ARGS_OPTION) {
			*socket = a.value;
		} else if (is_word && count < max) {
			words[count++] = a.word;
		} else {
			ctl_complain_of(&a);
			return -1;
		}
	}
	return count;
}

int ctl_api(int argc, char **argv)
{
	const char *words[3] = {NULL}, *socket;
	int count = read_words(argc, argv, &socket, words, 3);
	struct client_answer answer = {0};
	int code;

	if (count < 0)
		return CTL_USAGE;
	if (count < 2) {
		ctl_complain("api needs a method and a path, such as GET /");
		return CTL_USAGE;
	}
	code = ask(socket, words[0], words[1], words[2], &answer);
	if (code == CTL_OK && *answer.body)
		show_text(answer.body, stdout);
	client_answer_fini(&answer);
	return code;
}

struct word {
	char text[128];
};

/* Of a monitor's, who may be anybody by now. */
static struct word text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));
	struct word w = {"?"};

	if (text)
		printable_copy(text, strlen(text), w.text, sizeof(w.text));
	return w;
}

static long long number_of(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

int ctl_status(int argc, char **argv)
{
	struct client_answer info = {0}, machine = {0};
	const char *socket;
	json_t *i, *m;
	int code;

	if (read_words(argc, argv, &socket, NULL, 0) < 0)
		return CTL_USAGE;
	code = ask(socket, "GET", "/", NULL, &info);
	if (code == CTL_OK)
		code = ask(socket, "GET", "/machine-config", NULL, &machine);
	if (code == CTL_OK) {
		i = json_loads(info.body, 0, NULL);
		m = json_loads(machine.body, 0, NULL);
		printf("%s: %s, %lld vCPU, %lld MiB, %s with API %s\n",
		       text_of(i, "id").text, text_of(i, "state").text,
		       number_of(m, "vcpu_count"), number_of(m, "mem_size_mib"),
		       text_of(i, "app_name").text,
		       text_of(i, "vmm_version").text);
		json_decref(i);
		json_decref(m);
	}
	client_answer_fini(&info);
	client_answer_fini(&machine);
	return code;
}
