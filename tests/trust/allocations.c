/* SPDX-License-Identifier: Apache-2.0 */
/*
 * allocations MODEL.onnx DATA FILE.spike FOLDER MOST: every allocation of a conversion, a run and a
 * validation fails in turn (n = 1, 2, …). Each time: TSPK_NOMEM, or the same result where nothing
 * depended on it; every allocation freed; the file that was there before still there, and nothing
 * beside it. MOST bounds the number of cases of one scenario, picked evenly; 0: all. Each case has
 * a process of its own, for libarchive ends the process itself where it cannot keep a member's
 * name; such cases are counted apart and do not survive.
 *
 * A scenario ends with a line `TRUST|what|tried|survived|note`; exit code 1 when a case failed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/trust/failing_heap.h"
#include "transpike/array.h"
#include "transpike/spike.h"

enum { IMAGE_ELEMS = 64, STEPS = 2, CLASSES = 4, MOST_REPORTS = 30 };

typedef struct file_set {
    const char *model, *data, *spike;
    char out[512], folder[480];
} file_set;

/* Does the whole of something; what it wrote is at paths->out. `text_out`: its result, or NULL. */
typedef tspk_status (*scenario)(const file_set *paths, char **text_out, tspk_error *err);

static tspk_status open_both(const file_set *paths, tspk_model **model_out, tspk_dataset **data_out,
                             tspk_error *err)
{
    tspk_status status = tspk_model_open(paths->model, NULL, model_out, err);

    return status == TSPK_OK ? tspk_dataset_open(paths->data, NULL, data_out, err) : status;
}

static tspk_status convert_with(const file_set *paths, bool is_tuned, char **text_out,
                                tspk_error *err)
{
    tspk_convert_settings settings;
    tspk_model *model = NULL;
    tspk_dataset *data = NULL;
    tspk_spike *spike = NULL;
    tspk_budget budget;
    tspk_status status = open_both(paths, &model, &data, err);

    tspk_convert_default_settings(&settings);
    tspk_budget_default(&budget);
    settings.calibration_images = 4;
    settings.steps = STEPS;
    settings.levels = 4;
    settings.are_levels_pinned = true;
    settings.threads = 1;
    if (status == TSPK_OK && is_tuned)
        status = tspk_convert_tuned(model, data, &settings, &budget, &spike, text_out, err);
    else if (status == TSPK_OK)
        status = tspk_convert(model, data, &settings, &spike, err);
    if (status == TSPK_OK)
        status = tspk_spike_save(spike, paths->out, err);
    tspk_spike_close(spike);
    tspk_dataset_close(data);
    tspk_model_close(model);
    return status;
}

static tspk_status convert(const file_set *paths, char **text_out, tspk_error *err)
{
    return convert_with(paths, false, text_out, err);
}

static tspk_status convert_tuned(const file_set *paths, char **text_out, tspk_error *err)
{
    return convert_with(paths, true, text_out, err);
}

static tspk_status run(const file_set *paths, char **text_out, tspk_error *err)
{
    tspk_session_settings settings;
    tspk_session *session = NULL;
    tspk_spike *spike = NULL;
    float image[IMAGE_ELEMS], logits[STEPS * CLASSES];
    tspk_status status = tspk_spike_open(paths->spike, &spike, err);
    char *json = NULL;

    for (int i = 0; i < IMAGE_ELEMS; i++)
        image[i] = (float)(i % 7) / 3 - 1;
    tspk_session_default_settings(&settings);
    settings.threads = 1;
    settings.batch = 2;
    (void)text_out;
    if (status == TSPK_OK)
        status = tspk_spike_describe(spike, &json, err);
    tspk_text_free(json);
    if (status == TSPK_OK)
        status = tspk_session_open(spike, &settings, &session, err);
    if (status == TSPK_OK)
        status = tspk_session_dump(session, 1, image, logits, NULL, true, paths->out, err);
    tspk_session_close(session);
    tspk_spike_close(spike);
    return status;
}

static tspk_status validate(const file_set *paths, char **text_out, tspk_error *err)
{
    tspk_validate_settings settings;
    tspk_model *model = NULL;
    tspk_dataset *data = NULL;
    tspk_spike *spike = NULL;
    tspk_status status = open_both(paths, &model, &data, err);

    tspk_validate_default_settings(&settings);
    settings.threads = 1;
    settings.limit = 3;
    settings.is_untimed = true;
    settings.has_layers = true;
    if (status == TSPK_OK)
        status = tspk_spike_open(paths->spike, &spike, err);
    if (status == TSPK_OK)
        status = tspk_validate(spike, model, data, &settings, text_out, err);
    if (status == TSPK_OK)
        status = tspk_text_write(paths->out, *text_out, err);
    tspk_spike_close(spike);
    tspk_dataset_close(data);
    tspk_model_close(model);
    return status;
}

static char *read_text(const char *path, size_t *n_out)
{
    FILE *const file = fopen(path, "rb");
    struct stat found;
    char *text;

    if (!file || fstat(fileno(file), &found) != 0 || !(text = malloc((size_t)found.st_size + 1)) ||
        fread(text, 1, (size_t)found.st_size, file) != (size_t)found.st_size) {
        fprintf(stderr, "allocations: %s cannot be read\n", path);
        exit(2);
    }
    fclose(file);
    *n_out = (size_t)found.st_size;
    return text;
}

static void write_old(const char *path)
{
    FILE *const file = fopen(path, "wb");

    if (!file || fputs("old", file) < 0 || fclose(file) != 0) {
        fprintf(stderr, "allocations: %s cannot be written\n", path);
        exit(2);
    }
}

static int n_files(const char *folder)
{
    DIR *const listing = opendir(folder);
    int n = 0;

    while (listing && readdir(listing))
        n++;
    if (listing)
        closedir(listing);
    return n - 2;
}

/* One case. Returns what is wrong with it, or NULL. */
static const char *judge(scenario go, const file_set *paths, size_t n, const char *good,
                         size_t n_good, size_t *counted_out, bool *has_failed_out, char line[1024])
{
    char *text = NULL, *found;
    const char *wrong = NULL;
    tspk_error err;
    tspk_status status;
    size_t n_found;
    long live;

    write_old(paths->out);
    tspk_error_init(&err);
    live = failing_heap_live();
    failing_heap_arm(n);
    status = go(paths, &text, &err);
    *counted_out = failing_heap_disarm(has_failed_out);
    line[0] = '\0';
    if (status != TSPK_OK)
        tspk_error_format(&err, line, 1024);
    if (status != TSPK_OK && text)
        wrong = "a result beside the refusal";
    tspk_text_free(text);
    if (failing_heap_live() != live) {
        snprintf(line + strlen(line), 64, " (%ld lost)", failing_heap_live() - live);
        wrong = "not everything was freed";
    }
    found = read_text(paths->out, &n_found);
    if (status == TSPK_OK ? n_found != n_good || memcmp(found, good, n_found) != 0
                          : strcmp((found[n_found] = '\0', found), "old") != 0)
        wrong = "another file than before or than the whole new one";
    free(found);
    if (n_files(paths->folder) != 1)
        wrong = "a file was left behind";
    if (status != TSPK_OK && (status != TSPK_NOMEM || err.status != status || !err.message[0]))
        wrong = "not a refusal for lack of memory";
    if (status != TSPK_OK && !*has_failed_out)
        wrong = "a refusal without a cause";
    return wrong;
}

/* What a case tells its parent, in memory that both see. */
typedef struct answer {
    char wrong[128], line[1024];
    size_t counted;
} answer;

typedef enum ending { ENDING_RIGHT, ENDING_WRONG, ENDING_OF_LIBARCHIVE } ending;

/* One case in a process of its own. What is wrong stands in `to`. */
static ending judge_apart(scenario go, const file_set *paths, size_t n, const char *good,
                          size_t n_good, answer *to)
{
    static const char last_words[] = "Fatal Internal Error in libarchive";
    const int words = memfd_create("stderr", MFD_CLOEXEC);
    char text[256] = "";
    int status = 0;
    pid_t child;

    fflush(stdout);
    snprintf(to->wrong, sizeof to->wrong, "ended");
    to->line[0] = '\0';
    child = fork();
    if (child == 0) {
        bool has_failed;
        const char *wrong;

        dup2(words, STDERR_FILENO);
        wrong = judge(go, paths, n, good, n_good, &to->counted, &has_failed, to->line);
        snprintf(to->wrong, sizeof to->wrong, "%s", wrong ? wrong : "");
        _exit(0);
    }
    if (words < 0 || child < 0 || waitpid(child, &status, 0) != child) {
        perror("allocations");
        exit(2);
    }
    (void)!pread(words, text, sizeof text - 1, 0);
    close(words);
    if (status == 0)
        return to->wrong[0] ? ENDING_WRONG : ENDING_RIGHT;
    snprintf(to->line, sizeof to->line, "status %d: %s", status, text);
    return strstr(text, last_words) ? ENDING_OF_LIBARCHIVE : ENDING_WRONG;
}

/* A process that ended by itself may have left its temporary file. */
static void sweep(const char *folder)
{
    DIR *const listing = opendir(folder);
    const struct dirent *entry;
    char path[1024];

    while (listing && (entry = readdir(listing)))
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            unlink(path);
        }
    if (listing)
        closedir(listing);
}

static size_t try_all(const char *what, scenario go, const file_set *paths, size_t most)
{
    char *good, line[1024];
    size_t n_good, total, step, tried = 0, wrongs = 0, tolerated = 0, ended = 0;
    answer *const to =
        mmap(NULL, sizeof *to, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool has_failed;
    char *text = NULL;
    tspk_error err;

    if (to == MAP_FAILED) {
        perror("allocations");
        exit(2);
    }
    tspk_error_init(&err);
    write_old(paths->out);
    if (go(paths, &text, &err) != TSPK_OK) {
        tspk_error_format(&err, line, sizeof line);
        fprintf(stderr, "allocations: %s\n", line);
        exit(2);
    }
    tspk_text_free(text);
    good = read_text(paths->out, &n_good);
    if (judge(go, paths, 0, good, n_good, &total, &has_failed, line)) {
        fprintf(stderr, "allocations: %s is not the same twice, or loses memory: %s\n", what, line);
        exit(2);
    }
    step = most && most < total ? total / most : 1;
    for (size_t n = 1; n <= total; n += step) {
        const ending end = judge_apart(go, paths, n, good, n_good, to);

        tried++;
        tolerated += end == ENDING_RIGHT && to->counted >= total;
        ended += end == ENDING_OF_LIBARCHIVE;
        if (end != ENDING_RIGHT)
            sweep(paths->folder);
        if (end == ENDING_WRONG && ++wrongs <= MOST_REPORTS)
            printf("wrong: %s, allocation %zu of %zu: %s: %s\n", what, n, total, to->wrong,
                   to->line);
    }
    free(good);
    munmap(to, sizeof *to);
    printf(
        "TRUST|failing allocations: %s|%zu|%zu|of %zu; %zu were not needed; libarchive ended %zu\n",
        what, tried, tried - wrongs - ended, total, tolerated, ended);
    fflush(stdout);
    return wrongs;
}

int main(int argc, char **argv)
{
    size_t most, wrongs;
    file_set paths = {0};

    if (argc != 6) {
        fprintf(stderr, "usage: allocations MODEL.onnx DATA FILE.spike FOLDER MOST\n");
        return 2;
    }
    failing_heap_init();
    paths.model = argv[1];
    paths.data = argv[2];
    paths.spike = argv[3];
    snprintf(paths.folder, sizeof paths.folder, "%s", argv[4]);
    snprintf(paths.out, sizeof paths.out, "%s/out", paths.folder);
    most = strtoull(argv[5], NULL, 10);
    wrongs = try_all("convert", convert, &paths, most);
    wrongs += try_all("open, describe, run and dump", run, &paths, most);
    wrongs += try_all("validate with layers", validate, &paths, most);
    wrongs += try_all("convert within a budget", convert_tuned, &paths, most ? most / 20 + 1 : 500);
    return wrongs ? 1 : 0;
}
