/* Initialisation, the device, results by name, entry points by name. */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

CASE(nothing_works_before_init, ANY) {
  int n;
  CUcontext c;
  IS(d.cuDeviceGetCount(&n), CUDA_ERROR_NOT_INITIALIZED);
  IS(d.cuDevicePrimaryCtxRetain(&c, 0), CUDA_ERROR_NOT_INITIALIZED);
}

CASE(init_takes_no_flags, ANY) { IS(d.cuInit(1), CUDA_ERROR_INVALID_VALUE); }

CASE(init_may_be_repeated, ANY) {
  OK(d.cuInit(0));
  OK(d.cuInit(0));
}

CASE(version_is_known_before_init, ANY) {
  int v = 0;
  OK(d.cuDriverGetVersion(&v));
  CHECK(v >= 11000);
  IS(d.cuDriverGetVersion(NULL), CUDA_ERROR_INVALID_VALUE);
}

CASE(devices_are_numbered_from_zero, ANY) {
  int n = 0;
  CUdevice device = -1;
  OK(d.cuInit(0));
  OK(d.cuDeviceGetCount(&n));
  CHECK(n >= 1);
  OK(d.cuDeviceGet(&device, 0));
  CHECK(device == 0);
  IS(d.cuDeviceGet(&device, n), CUDA_ERROR_INVALID_DEVICE);
  IS(d.cuDeviceGet(&device, -1), CUDA_ERROR_INVALID_DEVICE);
}

CASE(a_device_has_a_name_a_size_and_an_identity, ANY) {
  char name[100], cut[4];
  size_t bytes = 0;
  CUuuid a, b;
  OK(d.cuInit(0));
  OK(d.cuDeviceGetName(name, sizeof name, 0));
  CHECK(memchr(name, 0, sizeof name) && *name);
  OK(d.cuDeviceGetName(cut, sizeof cut, 0));
  CHECK(cut[3] == 0 && !strncmp(cut, name, 3));
  OK(d.cuDeviceTotalMem_v2(&bytes, 0));
  CHECK(bytes >= 32 << 20);
  OK(d.cuDeviceGetUuid_v2(&a, 0));
  OK(d.cuDeviceGetUuid_v2(&b, 0));
  CHECK(!memcmp(&a, &b, sizeof a));
}

CASE(a_device_is_found_by_its_bus_id, ANY) {
  char id[32];
  CUdevice device = -1;
  OK(d.cuInit(0));
  OK(d.cuDeviceGetPCIBusId(id, sizeof id, 0));
  OK(d.cuDeviceGetByPCIBusId(&device, id));
  CHECK(device == 0);
  IS(d.cuDeviceGetByPCIBusId(NULL, id), CUDA_ERROR_INVALID_VALUE);
}

CASE(attributes_that_offhost_asks_for, ANY) {
  const CUdevice_attribute wanted[] = {CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT,
                                       CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING,
                                       CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR};
  OK(d.cuInit(0));
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    int v = -1;
    OK(d.cuDeviceGetAttribute(&v, wanted[i], 0));
    CHECK(v >= 1);
  }
  int v;
  IS(d.cuDeviceGetAttribute(&v, (CUdevice_attribute)100000, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuDeviceGetAttribute(NULL, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0), CUDA_ERROR_INVALID_VALUE);
}

CASE(results_have_names_and_texts, ANY) {
  const char *text = NULL;
  OK(d.cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
  CHECK(!strcmp(text, "CUDA_ERROR_ILLEGAL_ADDRESS"));
  OK(d.cuGetErrorName(CUDA_SUCCESS, &text));
  CHECK(!strcmp(text, "CUDA_SUCCESS"));
  OK(d.cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &text));
  CHECK(text && *text);
  IS(d.cuGetErrorName((CUresult)12345, &text), CUDA_ERROR_INVALID_VALUE);
  CHECK(text == NULL);
  IS(d.cuGetErrorString((CUresult)12345, &text), CUDA_ERROR_INVALID_VALUE);
  CHECK(text == NULL);
}

CASE(entry_points_are_found_by_name_and_version, ANY) {
  void *p = NULL;
  int v = 0;
  CUdriverProcAddressQueryResult status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  OK(d.cuInit(0));
  OK(d.cuGetProcAddress_v2("cuDriverGetVersion", &p, 12000, CU_GET_PROC_ADDRESS_DEFAULT, &status));
  CHECK(p && status == CU_GET_PROC_ADDRESS_SUCCESS);
  CUresult (*version)(int *);
  memcpy(&version, &p, sizeof p);
  OK(version(&v));
  CHECK(v >= 11000);
  OK(d.cuGetProcAddress_v2("cuMemCreate", &p, 10000, CU_GET_PROC_ADDRESS_DEFAULT, &status));
  CHECK(!p && status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT);
  OK(d.cuGetProcAddress_v2("cuMakeCoffee", &p, 12000, CU_GET_PROC_ADDRESS_DEFAULT, &status));
  CHECK(!p && status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
  OK(d.cuGetProcAddress_v2("cuMemAlloc", &p, 12000, CU_GET_PROC_ADDRESS_LEGACY_STREAM, NULL));
  CHECK(p != NULL);
}

/* A real driver reads the name without looking whether there is one, and crashes. */
CASE(an_entry_point_needs_a_name, MISUSE) {
  void *p = NULL;
  IS(d.cuGetProcAddress_v2(NULL, &p, 12000, CU_GET_PROC_ADDRESS_DEFAULT, NULL),
     CUDA_ERROR_INVALID_VALUE);
}

/* The table knows every function that the suite itself links, and gives the same one. */
CASE(entry_points_by_name_are_the_linked_ones, SETTINGS) {
#define SAME(name)                                                                                 \
  do {                                                                                             \
    char plain[80] = #name;                                                                        \
    void *p = NULL, *linked = dlsym(library, #name);                                               \
    size_t n = strlen(plain);                                                                      \
    if (n > 3 && plain[n - 3] == '_' && plain[n - 2] == 'v') plain[n - 3] = 0;                     \
    OK(d.cuGetProcAddress_v2(plain, &p, 12040, CU_GET_PROC_ADDRESS_DEFAULT, NULL));                \
    CHECK(p == linked);                                                                            \
  } while (0);
  DRIVER(SAME)
}

static void call_old_name(void) {
  void (*f)(CUdeviceptr *, size_t);
  void *p = dlsym(library, "cuMemAlloc");
  memcpy(&f, &p, sizeof p);
  f(NULL, 0);
}

CASE(old_entry_points_abort, MISUSE) {
  static const char *const old[] = {
      "cuMemAlloc",  "cuMemFree",    "cuMemcpyHtoD",    "cuMemcpyDtoHAsync", "cuMemGetInfo",
      "cuCtxCreate", "cuCtxDestroy", "cuStreamDestroy", "cuEventDestroy",    "cuMemHostRegister"};
  for (size_t i = 0; i < sizeof old / sizeof *old; i++) CHECK(dlsym(library, old[i]) != NULL);
  int status = run_in_child(call_old_name);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

CASE(init_fails_as_told, SETTINGS) {
  set("OFFHOST_EMU_INIT", "100");
  IS(d.cuInit(0), CUDA_ERROR_NO_DEVICE);
  int n;
  IS(d.cuDeviceGetCount(&n), CUDA_ERROR_NOT_INITIALIZED);
}

static void init_is_refused(void) { IS(d.cuInit(0), CUDA_ERROR_SYSTEM_NOT_READY); }

CASE(settings_that_make_no_sense_are_refused, SETTINGS) {
  static const char *const bad[][2] = {
      {"OFFHOST_EMU_MEMORY", "lots"},
      {"OFFHOST_EMU_MEMORY", "1000"},
      {"OFFHOST_EMU_MEMORY", "-2MiB"},
      {"OFFHOST_EMU_MEMORY", "99999999999GiB"},
      {"OFFHOST_EMU_H2D", "1.5GiB"},
      {"OFFHOST_EMU_STRICT", "perhaps"},
      {"OFFHOST_EMU_INIT", "12345"},
      {"OFFHOST_EMU_FAULT", "cuMemAlloc"},
      {"OFFHOST_EMU_FAULT", "cuMakeCoffee:1:2"},
      {"OFFHOST_EMU_FAULT", "cuMemAlloc:0:2"},
      {"OFFHOST_EMU_FAULT", "cuMemAlloc:1:2:often"},
      {"OFFHOST_EMU_DIR", "/"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *before = getenv(bad[i][0]);
    char kept[100] = "";
    strncpy(kept, before ? before : "", sizeof kept - 1);
    set(bad[i][0], bad[i][1]);
    int status = run_in_child(init_is_refused);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    set(bad[i][0], kept);
  }
  OK(d.cuInit(0));
}

static void count_devices(void) {
  int n;
  IS(d.cuDeviceGetCount(&n), CUDA_ERROR_NOT_INITIALIZED);
  _exit(0);
}

CASE(a_forked_child_has_no_driver, SETTINGS) {
  begin();
  CUdeviceptr p;
  OK(d.cuMemAlloc_v2(&p, 4096));
  int status = run_in_child(count_devices);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  OK(d.cuMemFree_v2(p));
}
