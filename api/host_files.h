#pragma once

#include "api/config.h"
#include "vmm/base/err.h"

/*
 * What a body names on the host is tried when it is told, so that whoever told
 * it hears of a wrong name at once and not at the start: opened as the start
 * will, and closed again. A name that the rules of config.h refuse anyway, as
 * one that is empty, is left to them. Nothing here waits for anybody. Thread:
 * the loop's. 0, or a negative errno with a sentence that names the file.
 */
int host_files_check_boot(const struct config_boot *body, struct err *e);
int host_files_check_drive(const struct config_drive *body, struct err *e);
int host_files_check_net(const struct config_net *body, struct err *e);
