#pragma once

#include "devices/virtio/virtio.h"

/*
 * The virtio-mmio transport, version 2 (virtio 1.2, 4.2): a page of registers
 * in front of a struct virtio, which is also the struct device.
 */
extern const struct transport_ops mmio_transport;
