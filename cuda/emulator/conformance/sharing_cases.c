/* Memory between processes: descriptors over a socket, and who keeps what when one of
 * them ends, however it ends. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"

enum { GONE = 5000 /* ms that a killed process's memory may take to be free */ };

static void becomes(size_t used) {
  for (int i = 0; i < GONE && memory_used() != used; i++) usleep(1000);
  CHECK(memory_used() == used);
}

/* Receives a descriptor, maps it for reading and checks a pattern; then says so and waits
 * to be told to let go. */
static void read_and_hold(int socket) {
  int fd;
  CUdeviceptr a;
  begin();
  size_t bytes = hear(socket, &fd);
  CUmemGenericAllocationHandle h = import_fd(fd);
  close(fd);
  OK(d.cuMemAddressReserve(&a, bytes, 0, 0, 0));
  map_at(a, bytes, h, CU_MEM_ACCESS_FLAGS_PROT_READ);
  OK(d.cuMemRelease(h));
  CHECK(has_pattern(a, bytes, 11));
  tell(socket, 1, -1);
  hear(socket, NULL);
  CHECK(has_pattern(a, bytes, 11));
  OK(d.cuMemUnmap(a, bytes));
  OK(d.cuMemAddressFree(a, bytes));
  tell(socket, 2, -1);
  hear(socket, NULL);
}

static struct region made_for_sharing(void) {
  struct region r = map_new(2 * granule());
  put_pattern(r.address, r.bytes, 11);
  return r;
}

static void send_region(struct peer p, struct region r) {
  int fd = export_fd(r.handle);
  tell(p.socket, r.bytes, fd);
  close(fd);
}

CASE(another_process_reads_what_this_one_wrote, ANY) {
  struct peer p = spawn(read_and_hold);
  begin();
  struct region r = made_for_sharing();
  send_region(p, r);
  CHECK(hear(p.socket, NULL) == 1);
  tell(p.socket, 0, -1);
  CHECK(hear(p.socket, NULL) == 2);
  tell(p.socket, 0, -1);
  join(p);
  unmap(r);
}

CASE(memory_lives_with_the_importer, ANY) {
  struct peer p = spawn(read_and_hold);
  begin();
  struct region r = made_for_sharing();
  send_region(p, r);
  CHECK(hear(p.socket, NULL) == 1);
  unmap(r); /* the other process still reads it */
  tell(p.socket, 0, -1);
  CHECK(hear(p.socket, NULL) == 2);
  tell(p.socket, 0, -1);
  join(p);
}

CASE(memory_is_counted_once_and_until_the_last_lets_go, ACCOUNTING) {
  struct peer p = spawn(read_and_hold);
  begin();
  struct region r = made_for_sharing();
  size_t bytes = r.bytes;
  CHECK(memory_used() == bytes);
  send_region(p, r);
  CHECK(hear(p.socket, NULL) == 1);
  CHECK(memory_used() == bytes); /* mapped twice */
  unmap(r);
  CHECK(memory_used() == bytes); /* there */
  tell(p.socket, 0, -1);
  CHECK(hear(p.socket, NULL) == 2);
  CHECK(memory_used() == 0);
  tell(p.socket, 0, -1);
  join(p);
}

CASE(a_killed_importer_gives_up_its_share_alone, ACCOUNTING) {
  struct peer p = spawn(read_and_hold);
  begin();
  struct region r = made_for_sharing();
  send_region(p, r);
  CHECK(hear(p.socket, NULL) == 1);
  kill_peer(p);
  becomes(r.bytes);
  CHECK(has_pattern(r.address, r.bytes, 11));
  unmap(r);
  becomes(0);
}

CASE(a_killed_importer_gives_up_what_it_alone_held, ACCOUNTING) {
  struct peer p = spawn(read_and_hold);
  begin();
  struct region r = made_for_sharing();
  send_region(p, r);
  CHECK(hear(p.socket, NULL) == 1);
  unmap(r);
  CHECK(memory_used() == 2 * granule());
  kill_peer(p);
  becomes(0);
}

/* Owns memory and sends a descriptor of it; then waits to be killed. */
static void own(int socket) {
  begin();
  struct region r = made_for_sharing();
  int fd = export_fd(r.handle);
  tell(socket, r.bytes, fd);
  hear(socket, NULL);
}

CASE(memory_outlives_its_killed_owner, ACCOUNTING) {
  int fd;
  CUdeviceptr a;
  struct peer p = spawn(own);
  begin();
  size_t bytes = hear(p.socket, &fd);
  CUmemGenericAllocationHandle h = import_fd(fd);
  close(fd);
  OK(d.cuMemAddressReserve(&a, bytes, 0, 0, 0));
  map_at(a, bytes, h, CU_MEM_ACCESS_FLAGS_PROT_READ);
  kill_peer(p);
  CHECK(memory_used() == bytes);
  CHECK(has_pattern(a, bytes, 11));
  OK(d.cuMemRelease(h));
  OK(d.cuMemUnmap(a, bytes));
  OK(d.cuMemAddressFree(a, bytes));
  CHECK(memory_used() == 0);
}

CASE(memory_of_a_killed_process_is_free, ACCOUNTING) {
  int fd;
  struct peer p = spawn(own);
  begin();
  hear(p.socket, &fd);
  close(fd);
  CHECK(memory_used() == 2 * granule());
  kill_peer(p);
  becomes(0);
}

CASE(a_descriptor_outlives_its_killed_owner, ACCOUNTING) {
  int fd;
  struct peer p = spawn(own);
  begin();
  size_t bytes = hear(p.socket, &fd);
  kill_peer(p);
  CHECK(memory_used() == bytes); /* by the descriptor */
  CUmemGenericAllocationHandle h = import_fd(fd);
  close(fd);
  OK(d.cuMemRelease(h));
  CHECK(memory_used() == 0);
}

CASE(an_unread_message_holds_memory, ACCOUNTING) {
  int pair[2];
  begin();
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  struct region r = made_for_sharing();
  int fd = export_fd(r.handle);
  tell(pair[0], 0, fd);
  close(fd);
  unmap(r);
  CHECK(memory_used() == r.bytes); /* lying in the socket */
  close(pair[0]);
  CHECK(memory_used() == r.bytes);
  close(pair[1]);
  becomes(0);
}

/* Owns all but one granule. */
static void hog(int socket) {
  begin();
  size_t g = granule(), total;
  OK(d.cuDeviceTotalMem_v2(&total, 0));
  CUmemGenericAllocationHandle h = create(total / g * g - g);
  tell(socket, 0, -1);
  hear(socket, NULL);
  OK(d.cuMemRelease(h));
  tell(socket, 0, -1);
  hear(socket, NULL);
}

CASE(processes_share_one_memory, ACCOUNTING) {
  CUmemGenericAllocationHandle a, b;
  CUdeviceptr plain;
  struct peer p = spawn(hog);
  begin();
  size_t g = granule();
  CUmemAllocationProp prop = properties();
  hear(p.socket, NULL);
  OK(d.cuMemCreate(&a, g, &prop, 0));
  IS(d.cuMemCreate(&b, g, &prop, 0), CUDA_ERROR_OUT_OF_MEMORY);
  IS(d.cuMemAlloc_v2(&plain, 4096), CUDA_ERROR_OUT_OF_MEMORY);
  tell(p.socket, 0, -1);
  hear(p.socket, NULL);
  OK(d.cuMemCreate(&b, g, &prop, 0));
  OK(d.cuMemRelease(a));
  OK(d.cuMemRelease(b));
  tell(p.socket, 0, -1);
  join(p);
}

CASE(an_allocation_takes_the_memory_of_the_killed, ACCOUNTING) {
  size_t total;
  struct peer p = spawn(hog);
  begin();
  size_t g = granule();
  hear(p.socket, NULL);
  kill_peer(p);
  OK(d.cuDeviceTotalMem_v2(&total, 0));
  CUmemGenericAllocationHandle h = create(total / g * g); /* without asking how much there is */
  OK(d.cuMemRelease(h));
}

/* Maps each generation that it is sent at the same address. */
static void follow_generations(int socket) {
  CUdeviceptr a = 0;
  begin();
  for (uint64_t generation; (generation = hear(socket, NULL));) {
    int fd;
    size_t bytes = hear(socket, &fd);
    CUmemGenericAllocationHandle h = import_fd(fd);
    close(fd);
    if (!a) OK(d.cuMemAddressReserve(&a, bytes, 0, 0, 0));
    map_at(a, bytes, h, CU_MEM_ACCESS_FLAGS_PROT_READ);
    OK(d.cuMemRelease(h));
    CHECK(has_pattern(a, bytes, generation));
    OK(d.cuMemUnmap(a, bytes));
    tell(socket, a, -1);
  }
}

CASE(generations_come_to_the_same_addresses_there, ANY) {
  struct peer p = spawn(follow_generations);
  begin();
  uint64_t address = 0;
  for (uint64_t generation = 1; generation <= 3; generation++) {
    struct region r = map_new(granule());
    put_pattern(r.address, r.bytes, generation);
    tell(p.socket, generation, -1);
    send_region(p, r);
    uint64_t there = hear(p.socket, NULL);
    CHECK(!address || there == address);
    address = there;
    unmap(r);
  }
  tell(p.socket, 0, -1);
  join(p);
}

/* Who imported memory cannot pass it on: only its owner can. */
static void try_to_export(int socket) {
  int fd;
  begin();
  hear(socket, &fd);
  CUmemGenericAllocationHandle h = import_fd(fd);
  close(fd);
  fd = -1;
  IS(d.cuMemExportToShareableHandle(&fd, h, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
     CUDA_ERROR_INVALID_VALUE);
  OK(d.cuMemRelease(h));
  tell(socket, 0, -1);
}

CASE(an_import_cannot_be_exported, ANY) {
  struct peer p = spawn(try_to_export);
  begin();
  struct region r = made_for_sharing();
  send_region(p, r);
  hear(p.socket, NULL);
  unmap(r);
  join(p);
}

static void tell_identity(int socket) {
  CUuuid id;
  uint64_t half[2];
  OK(d.cuInit(0));
  OK(d.cuDeviceGetUuid_v2(&id, 0));
  memcpy(half, &id, sizeof half);
  tell(socket, half[0], -1);
  tell(socket, half[1], -1);
}

CASE(processes_agree_on_the_identity_of_a_gpu, ANY) {
  CUuuid id;
  uint64_t half[2];
  struct peer p = spawn(tell_identity);
  OK(d.cuInit(0));
  OK(d.cuDeviceGetUuid_v2(&id, 0));
  memcpy(half, &id, sizeof half);
  CHECK(hear(p.socket, NULL) == half[0]);
  CHECK(hear(p.socket, NULL) == half[1]);
  join(p);
}

static void want_more_memory(int socket) {
  hear(socket, NULL);
  set("OFFHOST_EMU_MEMORY", "128MiB");
  IS(d.cuInit(0), CUDA_ERROR_SYSTEM_NOT_READY);
  set("OFFHOST_EMU_MEMORY", ""); /* whatever there is */
}

static void take_what_there_is(int socket) {
  size_t total = 0;
  hear(socket, NULL);
  set("OFFHOST_EMU_MEMORY", "");
  begin();
  OK(d.cuDeviceTotalMem_v2(&total, 0));
  CHECK(total == 64 << 20);
}

CASE(processes_agree_on_the_size_of_a_gpu, SETTINGS) {
  struct peer a = spawn(want_more_memory), b = spawn(take_what_there_is);
  begin();
  tell(a.socket, 0, -1);
  tell(b.socket, 0, -1);
  join(a);
  join(b);
}

/* A descriptor that was opened by its path is another open file: it keeps nothing. */
CASE(a_descriptor_opened_anew_is_refused, MISUSE) {
  CUmemGenericAllocationHandle h;
  char path[64];
  begin();
  struct region r = map_new(granule());
  int fd = export_fd(r.handle);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int again = open(path, O_RDWR | O_CLOEXEC);
  CHECK(again >= 0);
  IS(d.cuMemImportFromShareableHandle(&h, (void *)(intptr_t)again,
                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
     CUDA_ERROR_INVALID_VALUE);
  MISUSED(OFFHOST_EMU_FOREIGN_DESCRIPTOR, 1);
  close(again);
  close(fd);
  unmap(r);
}

/* What the real driver does is not documented; the stand-in takes the side on which a
 * caller that forgets it fails. */
CASE(an_exported_descriptor_survives_exec, SETTINGS) {
  begin();
  struct region r = map_new(granule());
  int fd = export_fd(r.handle);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0);
  close(fd);
  unmap(r);
}
