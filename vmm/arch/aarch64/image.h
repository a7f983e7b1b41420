#pragma once

#include "vmm/boot/kernel.h"

/*
 * The kernels that aarch64 boots: the PE `Image` of Linux, which begins with a
 * header of its own (Documentation/arm64/booting.rst).
 */
extern const struct kernel_formats image_formats;
