/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands do, each in a file of its own. They differ from their lines in the table of
 * cli/options.h in that they need the library. */
#ifndef TSPK_CLI_COMMANDS_H
#define TSPK_CLI_COMMANDS_H

#include "cli/args.h"
#include "transpike/transpike.h"

tspk_status tspk_cli_convert(const tspk_cli_args *args, tspk_error *err);
tspk_status tspk_cli_run(const tspk_cli_args *args, tspk_error *err);
tspk_status tspk_cli_validate(const tspk_cli_args *args, tspk_error *err);
tspk_status tspk_cli_inspect(const tspk_cli_args *args, tspk_error *err);
tspk_status tspk_cli_doctor(const tspk_cli_args *args, tspk_error *err);

/** `run` of a spiking network, and of a source network. */
tspk_status tspk_cli_run_spike(const tspk_cli_args *args, const char *mode, tspk_error *err);
tspk_status tspk_cli_run_onnx(const tspk_cli_args *args, tspk_error *err);

/** True for a .spike: by its name's end, else by its first bytes. @errors IO */
tspk_status tspk_cli_is_spike(const char *path, bool *is_spike_out, tspk_error *err);

/** The kernels that were asked for. */
static inline tspk_isa tspk_cli_isa(const tspk_cli_args *args)
{
    return (tspk_isa)(TSPK_ISA_AUTO + 1 + args->isa);
}

/** The exit policy that was asked for. */
static inline tspk_policy tspk_cli_policy(const tspk_cli_args *args)
{
    return (tspk_policy)(TSPK_POLICY_OF_MODE + 1 + args->policy);
}

#endif
