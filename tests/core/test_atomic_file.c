/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/atomic_file.h"

typedef struct fixture {
    char folder[64];
    char path[96], link[96];
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);

    strcpy(f->folder, "/tmp/tspk_atomic_XXXXXX");
    if (!f || !mkdtemp(f->folder))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/file", f->folder);
    snprintf(f->link, sizeof f->link, "%s/link", f->folder);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    unlink(f->link);
    unlink(f->path);
    rmdir(f->folder); /* fails, and the test with it, when a temporary file was left */
    if (access(f->folder, F_OK) == 0)
        return -1;
    free(f);
    return 0;
}

static void assert_holds(const char *path, const char *expected)
{
    char text[32] = {0};
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    (void)!fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_string_equal(text, expected);
}

static void write_text(const char *path, const char *text, bool is_kept)
{
    tspk_error err = {0};
    tspk_atomic_file *file = NULL;

    assert_int_equal(tspk_atomic_file_open(path, &file, &err), TSPK_OK);
    assert_int_equal(tspk_atomic_file_write(file, text, strlen(text), &err), TSPK_OK);
    assert_int_equal(tspk_atomic_file_close(file, is_kept, &err), TSPK_OK);
}

static void replaces_only_when_kept(void **state)
{
    const fixture *f = *state;

    write_text(f->path, "old", true);
    write_text(f->path, "new", false);
    assert_holds(f->path, "old");
    write_text(f->path, "new", true);
    assert_holds(f->path, "new");
}

static void link_stays_a_link(void **state)
{
    const fixture *f = *state;
    struct stat found;

    write_text(f->path, "old", true);
    assert_int_equal(symlink(f->path, f->link), 0);
    write_text(f->link, "new", true);
    assert_holds(f->path, "new");
    assert_int_equal(lstat(f->link, &found), 0);
    assert_true(S_ISLNK(found.st_mode));
}

static void permissions_follow_the_umask(void **state)
{
    const fixture *f = *state;
    const mode_t before = umask(027);
    struct stat found;

    write_text(f->path, "new", true);
    assert_int_equal(umask(before), 027);
    assert_int_equal(stat(f->path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0640);
}

static void device_is_written_directly(void **state)
{
    struct stat found;

    (void)state;
    write_text("/dev/null", "gone", true);
    assert_int_equal(stat("/dev/null", &found), 0);
    assert_true(S_ISCHR(found.st_mode));
}

static void full_device_is_an_io_error(void **state)
{
    static const char text[] = "does not fit";
    tspk_error err = {0};
    tspk_atomic_file *file = NULL;

    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(tspk_atomic_file_open("/dev/full", &file, &err), TSPK_OK);
    assert_int_equal(tspk_atomic_file_write(file, text, sizeof text, &err), TSPK_IO);
    assert_non_null(strstr(err.message, "/dev/full"));
    assert_int_equal(tspk_atomic_file_close(file, false, NULL), TSPK_OK);
    assert_int_equal(access("/dev/full", W_OK), 0);
}

static void folder_is_an_io_error(void **state)
{
    const fixture *f = *state;
    tspk_error err = {0};
    tspk_atomic_file *file = NULL;
    char path[128];

    assert_int_equal(tspk_atomic_file_open(f->folder, &file, &err), TSPK_IO);
    assert_non_null(strstr(err.message, f->folder));
    snprintf(path, sizeof path, "%s/absent/file", f->folder);
    assert_int_equal(tspk_atomic_file_open(path, &file, &err), TSPK_IO);
    assert_null(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaces_only_when_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(link_stays_a_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(permissions_follow_the_umask, set_up, tear_down),
        cmocka_unit_test(device_is_written_directly),
        cmocka_unit_test(full_device_is_an_io_error),
        cmocka_unit_test_setup_teardown(folder_is_an_io_error, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
