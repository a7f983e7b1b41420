#pragma once

#include <stdbool.h>

#include "api/config.h"
#include "api/json/json.h"

/*
 * What the whole of a config file binds to, before the setters see it. The
 * tables of the single bodies are declared in config.h, where clients of the
 * setters find them.
 */
struct config_file {
	struct config_boot boot;
	struct config_machine machine;
	struct config_logger logger;
	struct config_metrics metrics;
	struct field_array drives; /* of struct config_drive */
	struct field_array nets;   /* of struct config_net */
	struct config_vsock vsock;
	struct config_serial serial;
	bool has_boot;
	bool has_machine;
	bool has_logger;
	bool has_metrics;
	bool has_vsock;
	bool has_serial;
};

extern const struct field_table config_file_table;
