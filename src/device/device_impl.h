/* device_impl.h - what the kinds of device implement; for src/device only. */
#ifndef TRI_DEVICE_DEVICE_IMPL_H
#define TRI_DEVICE_DEVICE_IMPL_H

#include "device/device.h"

enum { TRI_DEVICE_MAX_QUEUED = 4 }; /* steps submitted and not completed, of one capture */

typedef struct tri_device_ops {
    void (*destroy)(tri_device *device);
    tri_status (*alloc)(tri_device *device, int64_t n_bytes, void **memory, tri_error *err);
    void (*free)(tri_device *device, void *memory);
    void (*synchronize)(tri_device *device); /* returns when nothing submitted is running */
    /* NULL, this and those up to adopt: device memory is the host's own. */
    tri_status (*alloc_shared)(tri_device *device, int64_t n_bytes, void **memory, tri_error *err);
    tri_status (*upload)(
        tri_device *device, void *to, const void *from, int64_t n_bytes, tri_error *err);
    tri_status (*download)(
        tri_device *device, void *to, const void *from, int64_t n_bytes, tri_error *err);
    tri_status (*adopt)(
        tri_device *device, const void *from, int64_t n_bytes, void **memory, tri_error *err);
    tri_status (*add_code)(
        tri_device *device, const char *key, const uint8_t *code, tri_error *err); /* may be NULL */
    tri_status (*capture)(
        tri_device *device, const tri_launch_list *list, tri_capture **capture, tri_error *err);
    void (*capture_destroy)(tri_capture *capture);
    tri_status (*submit)(tri_capture *capture, const tri_step *step, tri_error *err);
    tri_status (*complete)(tri_capture *capture, tri_error *err);
    void (*set_profile)(tri_capture *capture, int64_t *nanoseconds);
} tri_device_ops;

/* The first member of each kind's struct. */
struct tri_device {
    const tri_device_ops *ops;
    tri_plugin_device facts;
    tri_device_counters counters;
    struct tri_host_block *blocks; /* what host_alloc gave and host_free has not taken back */
};

struct tri_capture {
    tri_device *device;
    const void *results; /* of the last completed step */
};

tri_status tri_cpu_device_create(
    tri_device **device, const tri_device_options *options, tri_error *err);
tri_status tri_cuda_device_create(
    tri_device **device, const tri_device_options *options, tri_error *err);
tri_status tri_null_device_create(
    tri_device **device, const tri_device_options *options, tri_error *err);
bool tri_cuda_device_probe(int32_t index, tri_plugin_device *facts, char arch[16]);

/* Pages of the host; map_flags are added to mmap's.  Counted in device->counters. */
tri_status tri_host_alloc(
    tri_device *device, int64_t n_bytes, int32_t map_flags, void **memory, tri_error *err);
void tri_host_free(tri_device *device, void *memory);
void tri_host_free_all(tri_device *device);

/* What every kind demands of a list: kernels present, groups in range. */
tri_status tri_launch_list_check(const tri_launch_list *list, tri_error *err);
/* What every kind demands of a step: that it is one, with the groups that the list uses. */
tri_status tri_launch_list_check_step(int32_t n_groups, const tri_step *step, tri_error *err);
/* One more than the highest group used by the list. */
int32_t tri_launch_list_groups(const tri_launch_list *list);

#endif
