#pragma once

#include <stdbool.h>

/*
 * What docker's users type and mayctl has not: a word for each about what does
 * it here. docs/containers.md has the table of both.
 */

/*
 * Of an option as it was typed ("--privileged", "--gpus=all", "-P") behind the
 * command of that name. NULL where docker has none such either, or none that we
 * have heard of.
 */
const char *docker_option(const char *command, const char *word);

/* Of a command. NULL as above. */
const char *docker_command(const char *name);

/* Complains of a word that a command does not know, with that. */
void docker_complain(const char *command, const char *word);
