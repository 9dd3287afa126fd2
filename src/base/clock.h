/* clock.h - monotonic time. */
#ifndef TRI_BASE_CLOCK_H
#define TRI_BASE_CLOCK_H

#include <stdint.h>

int64_t tri_clock_ns(void); /* monotonic */

#endif
