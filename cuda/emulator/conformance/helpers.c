/* What cases have in common. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

CUcontext begin(void) {
  CUcontext context;
  OK(d.cuInit(0));
  OK(d.cuDevicePrimaryCtxRetain(&context, 0));
  OK(d.cuCtxSetCurrent(context));
  return context;
}

void set(const char *name, const char *value) { CHECK(setenv(name, value, 1) == 0); }

struct peer spawn(void (*run)(int socket)) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(pair[0]);
    run(pair[1]);
    _exit(emulated() && d.offhostEmuMisuseCount(-1) ? 1 : 0);
  }
  close(pair[1]);
  return (struct peer){pid, pair[0]};
}

static int wait_for(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

void join(struct peer p) {
  int status = wait_for(p.pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  close(p.socket);
}

void kill_peer(struct peer p) {
  kill(p.pid, SIGKILL);
  wait_for(p.pid);
  close(p.socket);
}

int run_in_child(void (*run)(void)) {
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    run();
    exit(0); /* with all that is done at exit */
  }
  return wait_for(pid);
}

union control {
  char bytes[CMSG_SPACE(sizeof(int))];
  struct cmsghdr align;
};

void tell(int socket, uint64_t number, int fd) {
  union control control = {{0}};
  struct iovec part = {&number, sizeof number};
  struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    m.msg_control = control.bytes;
    m.msg_controllen = sizeof control.bytes;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  CHECK(sendmsg(socket, &m, MSG_NOSIGNAL) == sizeof number);
}

uint64_t hear(int socket, int *fd) {
  uint64_t number = 0;
  union control control = {{0}};
  struct iovec part = {&number, sizeof number};
  struct msghdr m = {.msg_iov = &part,
                     .msg_iovlen = 1,
                     .msg_control = control.bytes,
                     .msg_controllen = sizeof control.bytes};
  ssize_t n;
  do n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  CHECK(n == sizeof number);
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  CHECK((c != NULL) == (fd != NULL));
  if (fd) memcpy(fd, CMSG_DATA(c), sizeof *fd);
  return number;
}

CUmemAllocationProp properties(void) {
  CUmemAllocationProp p;
  memset(&p, 0, sizeof p);
  p.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  p.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  p.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  return p;
}

size_t granule(void) {
  size_t bytes = 0;
  int supported = 0;
  OK(d.cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
                            0));
  if (!supported) skip("the device has no virtual memory management");
  CUmemAllocationProp p = properties();
  OK(d.cuMemGetAllocationGranularity(&bytes, &p, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  CHECK(bytes >= 4096 && (bytes & (bytes - 1)) == 0);
  return bytes;
}

CUmemGenericAllocationHandle create(size_t bytes) {
  CUmemGenericAllocationHandle handle = 0;
  CUmemAllocationProp p = properties();
  OK(d.cuMemCreate(&handle, bytes, &p, 0));
  return handle;
}

void allow(CUdeviceptr address, size_t bytes, CUmemAccess_flags access) {
  CUmemAccessDesc a = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, access};
  OK(d.cuMemSetAccess(address, bytes, &a, 1));
}

void map_at(CUdeviceptr address, size_t bytes, CUmemGenericAllocationHandle handle,
            CUmemAccess_flags access) {
  OK(d.cuMemMap(address, bytes, 0, handle, 0));
  allow(address, bytes, access);
}

struct region map_new(size_t bytes) {
  struct region r = {0, bytes, create(bytes)};
  OK(d.cuMemAddressReserve(&r.address, bytes, 0, 0, 0));
  map_at(r.address, bytes, r.handle, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  return r;
}

void unmap(struct region r) {
  OK(d.cuMemUnmap(r.address, r.bytes));
  OK(d.cuMemRelease(r.handle));
  OK(d.cuMemAddressFree(r.address, r.bytes));
}

int export_fd(CUmemGenericAllocationHandle handle) {
  int fd = -1;
  OK(d.cuMemExportToShareableHandle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  CHECK(fd >= 0);
  return fd;
}

CUmemGenericAllocationHandle import_fd(int fd) {
  CUmemGenericAllocationHandle handle = 0;
  OK(d.cuMemImportFromShareableHandle(&handle, (void *)(intptr_t)fd,
                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
  return handle;
}

void fill_pattern(void *bytes, size_t count, uint64_t seed) {
  unsigned char *p = bytes;
  uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
  for (size_t i = 0; i < count; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    p[i] = (unsigned char)x;
  }
}

void put_pattern(CUdeviceptr address, size_t bytes, uint64_t seed) {
  void *p = malloc(bytes);
  CHECK(p != NULL);
  fill_pattern(p, bytes, seed);
  OK(d.cuMemcpyHtoD_v2(address, p, bytes));
  free(p);
}

bool has_pattern(CUdeviceptr address, size_t bytes, uint64_t seed) {
  void *want = malloc(bytes), *got = calloc(1, bytes);
  CHECK(want && got);
  fill_pattern(want, bytes, seed);
  OK(d.cuMemcpyDtoH_v2(got, address, bytes));
  bool same = memcmp(want, got, bytes) == 0;
  free(want);
  free(got);
  return same;
}

size_t memory_used(void) {
  size_t available = 0, total = 0;
  OK(d.cuMemGetInfo_v2(&available, &total));
  CHECK(available <= total);
  return total - available;
}

CUstream new_stream(void) {
  CUstream s = NULL;
  OK(d.cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
  CHECK(s != NULL);
  return s;
}

CUevent new_event(void) {
  CUevent e = NULL;
  OK(d.cuEventCreate(&e, CU_EVENT_DEFAULT));
  CHECK(e != NULL);
  return e;
}

void make_gate(struct gate *g) {
  atomic_init(&g->reached, 0);
  CHECK(sem_init(&g->open, 0, 0) == 0);
}

static void pass(void *data) {
  struct gate *g = data;
  atomic_fetch_add(&g->reached, 1);
  while (sem_wait(&g->open)) continue;
}

void hold(CUstream s, struct gate *g) { OK(d.cuLaunchHostFunc(s, pass, g)); }
void let_go(struct gate *g) { sem_post(&g->open); }
