/* executor.h - what the command line needs of an executor beyond its public face. */
#ifndef TRI_EXECUTOR_EXECUTOR_H
#define TRI_EXECUTOR_EXECUTOR_H

#include "engine/plan.h"
#include "trireme/executor.h"

/* The plan of the rank that samples: for profiles, while no request runs. */
tri_plan *tri_executor_plan(tri_executor *executor);

#endif
