#pragma once

#include "devices/virtio/virtio.h"

/*
 * The virtio-mmio transport, version 2 (virtio 1.2, 4.2): a page of registers
 * in front of a struct virtio, which is also the struct device.
 */
extern const struct device_ops mmio_device_ops;

/*
 * Lets KVM turn the driver's notifications into events, from DRIVER_OK to the
 * next reset; registering costs a grace period, so not before. Where KVM
 * refuses, notifications take the way of any other register. Lock held.
 */
void mmio_connect(struct virtio *v) REQUIRES(v->device.lock);
void mmio_disconnect(struct virtio *v) REQUIRES(v->device.lock);
