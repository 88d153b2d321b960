/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transpike: Vision Transformers, exported from PyTorch as ONNX, as spiking networks.
 *
 *   tspk_model_open()    imports an .onnx
 *   tspk_dataset_open()  opens samples
 *   tspk_convert()       calibrates and makes a spiking network; tspk_spike_save() stores it
 *   tspk_session_run()   executes it
 *   tspk_validate()      says what was lost
 *   tspk_report_write()  and shows it
 *
 * Every fallible call returns a tspk_status and takes a tspk_error last (NULL allowed). Outputs are
 * untouched on failure. The library never prints, never exits and has no global state.
 */
#ifndef TRANSPIKE_TRANSPIKE_H
#define TRANSPIKE_TRANSPIKE_H

#include "transpike/array.h"
#include "transpike/data.h"
#include "transpike/error.h"
#include "transpike/model.h"
#include "transpike/report.h"
#include "transpike/spike.h"
#include "transpike/system.h"

#define TSPK_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/** Version of the library that is linked, "major.minor.patch". Static text. */
TSPK_API const char *tspk_version(void);

#ifdef __cplusplus
}
#endif
#endif
