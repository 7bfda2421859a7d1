/* Virtual memory management within one process. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

CASE(virtual_memory_is_memory, ANY) {
  begin();
  size_t g = granule();
  struct region r = map_new(2 * g);
  CHECK(r.address % g == 0);
  put_pattern(r.address, 2 * g, 1);
  CHECK(has_pattern(r.address, 2 * g, 1));
  unmap(r);
}

CASE(physical_allocations_that_cannot_be, ANY) {
  CUmemGenericAllocationHandle h;
  size_t total;
  begin();
  size_t g = granule();
  CUmemAllocationProp p = properties();
  IS(d.cuMemCreate(&h, g / 2, &p, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemCreate(&h, 0, &p, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemCreate(&h, g, &p, 1), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemCreate(NULL, g, &p, 0), CUDA_ERROR_INVALID_VALUE);
  p.type = CU_MEM_ALLOCATION_TYPE_INVALID;
  IS(d.cuMemCreate(&h, g, &p, 0), CUDA_ERROR_INVALID_VALUE);
  p = properties();
  p.location.id = 1000;
  CHECK(d.cuMemCreate(&h, g, &p, 0) != CUDA_SUCCESS);
  p = properties();
  OK(d.cuDeviceTotalMem_v2(&total, 0));
  IS(d.cuMemCreate(&h, (total / g + 1) * g, &p, 0), CUDA_ERROR_OUT_OF_MEMORY);
}

CASE(addresses_are_reserved_and_given_back_whole, ANY) {
  CUdeviceptr a = 0, b = 0;
  begin();
  size_t g = granule();
  OK(d.cuMemAddressReserve(&a, 4 * g, 0, 0, 0));
  OK(d.cuMemAddressReserve(&b, 4 * g, 8 * g, 0, 0));
  CHECK(a % g == 0 && b % (8 * g) == 0 && (b >= a + 4 * g || a >= b + 4 * g));
  IS(d.cuMemAddressFree(a, 2 * g), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemAddressFree(a + g, 3 * g), CUDA_ERROR_INVALID_VALUE);
  OK(d.cuMemAddressFree(a, 4 * g));
  OK(d.cuMemAddressFree(b, 4 * g));
  IS(d.cuMemAddressReserve(&a, 0, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemAddressReserve(&a, g, 3 * g, 0, 0), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemAddressReserve(&a, g, 0, 0, 1), CUDA_ERROR_INVALID_VALUE);
  IS(d.cuMemAddressReserve(NULL, g, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
}

CASE(mappings_that_cannot_be, ANY) {
  CUdeviceptr a;
  begin();
  size_t g = granule();
  CUmemGenericAllocationHandle h = create(2 * g);
  OK(d.cuMemAddressReserve(&a, 4 * g, 0, 0, 0));
  IS(d.cuMemMap(a, 4 * g, 0, h, 0), CUDA_ERROR_NOT_SUPPORTED); /* more than there is */
  /* Which of two reasons is told is not documented. */
  CHECK(d.cuMemMap(a, g / 2, 0, h, 0) != CUDA_SUCCESS);         /* no granules */
  CHECK(d.cuMemMap(a + g / 2, 2 * g, 0, h, 0) != CUDA_SUCCESS); /* not at one */
  CHECK(d.cuMemMap(a, g, g, h, 0) != CUDA_SUCCESS);             /* the offset has to be 0 */
  CHECK(d.cuMemMap(a, 2 * g, 0, h, 1) != CUDA_SUCCESS);         /* the flags too */
  OK(d.cuMemMap(a, 2 * g, 0, h, 0));
  CHECK(d.cuMemMap(a, 2 * g, 0, h, 0) != CUDA_SUCCESS); /* mapped already */
  OK(d.cuMemUnmap(a, 2 * g));
  OK(d.cuMemAddressFree(a, 4 * g));
  OK(d.cuMemRelease(h));
}

CASE(reserved_addresses_with_mappings_stay, ANY) {
  begin();
  struct region r = map_new(granule());
  IS(d.cuMemAddressFree(r.address, r.bytes), CUDA_ERROR_INVALID_VALUE);
  put_pattern(r.address, r.bytes, 1);
  CHECK(has_pattern(r.address, r.bytes, 1));
  unmap(r);
}

CASE(a_mapping_is_unmapped_whole, ANY) {
  begin();
  size_t g = granule();
  struct region r = map_new(2 * g);
  CHECK(d.cuMemUnmap(r.address, g) != CUDA_SUCCESS);
  CHECK(d.cuMemUnmap(r.address + g, g) != CUDA_SUCCESS);
  put_pattern(r.address, r.bytes, 1);
  CHECK(has_pattern(r.address, r.bytes, 1));
  unmap(r);
}

CASE(several_mappings_are_used_and_unmapped_at_once, ANY) {
  CUdeviceptr a;
  CUmemGenericAllocationHandle h[3];
  begin();
  size_t g = granule();
  OK(d.cuMemAddressReserve(&a, 3 * g, 0, 0, 0));
  for (size_t i = 0; i < 3; i++) {
    h[i] = create(g);
    OK(d.cuMemMap(a + i * g, g, 0, h[i], 0));
    OK(d.cuMemRelease(h[i])); /* the mapping keeps the memory */
  }
  allow(a, 3 * g, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  put_pattern(a, 3 * g, 5);
  CHECK(has_pattern(a, 3 * g, 5));
  CHECK(has_pattern(a, g, 5));
  put_pattern(a + g - 100, 200, 6); /* across a seam */
  CHECK(has_pattern(a + g - 100, 200, 6));
  OK(d.cuMemUnmap(a, 3 * g));
  OK(d.cuMemAddressFree(a, 3 * g));
}

CASE(several_mappings_are_unmapped_whole, ANY) {
  CUdeviceptr a;
  begin();
  size_t g = granule();
  CUmemGenericAllocationHandle first = create(2 * g), second = create(g);
  OK(d.cuMemAddressReserve(&a, 4 * g, 0, 0, 0));
  map_at(a, 2 * g, first, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  map_at(a + 2 * g, g, second, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  CHECK(d.cuMemUnmap(a + g, 2 * g) != CUDA_SUCCESS); /* begins within one */
  OK(d.cuMemUnmap(a, 3 * g));
  OK(d.cuMemRelease(first));
  OK(d.cuMemRelease(second));
  OK(d.cuMemAddressFree(a, 4 * g));
}

/* A real driver unmaps what there is, and says nothing of the rest. */
CASE(unmapping_ends_where_mappings_do, MISUSE) {
  CUdeviceptr a;
  begin();
  size_t g = granule();
  CUmemGenericAllocationHandle h = create(g);
  OK(d.cuMemAddressReserve(&a, 2 * g, 0, 0, 0));
  map_at(a, g, h, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  CHECK(d.cuMemUnmap(a, 2 * g) != CUDA_SUCCESS);
  OK(d.cuMemUnmap(a, g));
  OK(d.cuMemRelease(h));
  OK(d.cuMemAddressFree(a, 2 * g));
}

CASE(memory_may_be_mapped_twice, ANY) {
  CUdeviceptr second;
  begin();
  struct region r = map_new(granule());
  OK(d.cuMemAddressReserve(&second, r.bytes, 0, 0, 0));
  map_at(second, r.bytes, r.handle, CU_MEM_ACCESS_FLAGS_PROT_READ);
  put_pattern(r.address, r.bytes, 9);
  CHECK(has_pattern(second, r.bytes, 9));
  OK(d.cuMemUnmap(second, r.bytes));
  OK(d.cuMemAddressFree(second, r.bytes));
  unmap(r);
}

CASE(other_memory_comes_to_the_same_addresses, ANY) {
  begin();
  struct region r = map_new(granule());
  put_pattern(r.address, r.bytes, 1);
  for (uint64_t generation = 2; generation < 5; generation++) {
    OK(d.cuMemUnmap(r.address, r.bytes));
    OK(d.cuMemRelease(r.handle));
    r.handle = create(r.bytes);
    map_at(r.address, r.bytes, r.handle, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    put_pattern(r.address, r.bytes, generation);
    CHECK(has_pattern(r.address, r.bytes, generation));
  }
  unmap(r);
}

CASE(an_allocation_is_mapped_whole, ANY) {
  CUdeviceptr a;
  begin();
  size_t g = granule();
  CUmemGenericAllocationHandle h = create(2 * g);
  OK(d.cuMemAddressReserve(&a, 2 * g, 0, 0, 0));
  IS(d.cuMemMap(a, g, 0, h, 0), CUDA_ERROR_NOT_SUPPORTED);
  OK(d.cuMemMap(a, 2 * g, 0, h, 0));
  OK(d.cuMemUnmap(a, 2 * g));
  OK(d.cuMemAddressFree(a, 2 * g));
  OK(d.cuMemRelease(h));
}

CASE(access_is_told, ANY) {
  unsigned long long flags = 99;
  const CUmemLocation here = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  begin();
  struct region r = map_new(granule());
  OK(d.cuMemGetAccess(&flags, &here, r.address));
  CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  allow(r.address, r.bytes, CU_MEM_ACCESS_FLAGS_PROT_READ);
  OK(d.cuMemGetAccess(&flags, &here, r.address));
  CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_READ);
  OK(d.cuMemUnmap(r.address, r.bytes)); /* access goes with the mapping */
  OK(d.cuMemMap(r.address, r.bytes, 0, r.handle, 0));
  OK(d.cuMemGetAccess(&flags, &here, r.address));
  CHECK(flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
  unmap(r);
}

CASE(access_is_given_to_whole_mappings, ANY) {
  CUdeviceptr a;
  begin();
  size_t g = granule();
  OK(d.cuMemAddressReserve(&a, 3 * g, 0, 0, 0));
  CUmemGenericAllocationHandle h = create(2 * g);
  CUmemAccessDesc rw = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  CHECK(d.cuMemSetAccess(a, 2 * g, &rw, 1) != CUDA_SUCCESS); /* not mapped yet */
  OK(d.cuMemMap(a, 2 * g, 0, h, 0));
  CHECK(d.cuMemSetAccess(a, 3 * g, &rw, 1) != CUDA_SUCCESS); /* not mapped to the end */
  OK(d.cuMemSetAccess(a, 2 * g, &rw, 1));
  OK(d.cuMemUnmap(a, 2 * g));
  OK(d.cuMemAddressFree(a, 3 * g));
  OK(d.cuMemRelease(h));
}

CASE(a_handle_is_had_back_from_an_address, ANY) {
  CUmemGenericAllocationHandle again = 0;
  CUdeviceptr plain;
  begin();
  struct region r = map_new(granule());
  OK(d.cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)(r.address + 4096)));
  CHECK(again == r.handle);
  OK(d.cuMemRelease(again)); /* each in its turn */
  OK(d.cuMemRelease(r.handle));
  put_pattern(r.address, r.bytes, 1);
  OK(d.cuMemRetainAllocationHandle(&r.handle, (void *)(uintptr_t)r.address));
  CHECK(has_pattern(r.address, r.bytes, 1));
  unmap(r);
  OK(d.cuMemAlloc_v2(&plain, 4096));
  IS(d.cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)plain), CUDA_ERROR_INVALID_VALUE);
  OK(d.cuMemFree_v2(plain));
}

CASE(a_handle_knows_its_properties, ANY) {
  CUmemAllocationProp p;
  begin();
  CUmemGenericAllocationHandle h = create(granule());
  OK(d.cuMemGetAllocationPropertiesFromHandle(&p, h));
  CHECK(p.type == CU_MEM_ALLOCATION_TYPE_PINNED && p.location.type == CU_MEM_LOCATION_TYPE_DEVICE &&
        p.location.id == 0);
  CHECK(p.requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  OK(d.cuMemRelease(h));
}

CASE(only_what_was_made_for_it_is_exported, ANY) {
  CUmemGenericAllocationHandle h;
  int fd = -1;
  begin();
  size_t g = granule();
  CUmemAllocationProp p = properties();
  p.requestedHandleTypes = CU_MEM_HANDLE_TYPE_NONE;
  OK(d.cuMemCreate(&h, g, &p, 0));
  CHECK(d.cuMemExportToShareableHandle(&fd, h, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0) !=
        CUDA_SUCCESS);
  OK(d.cuMemRelease(h));
}

CASE(an_export_is_imported_here, ANY) {
  CUdeviceptr a;
  begin();
  struct region r = map_new(granule());
  put_pattern(r.address, r.bytes, 3);
  int fd = export_fd(r.handle);
  CUmemGenericAllocationHandle second = import_fd(fd);
  close(fd);
  OK(d.cuMemAddressReserve(&a, r.bytes, 0, 0, 0));
  map_at(a, r.bytes, second, CU_MEM_ACCESS_FLAGS_PROT_READ);
  OK(d.cuMemRelease(second));
  unmap(r); /* the import keeps the memory */
  CHECK(has_pattern(a, r.bytes, 3));
  OK(d.cuMemUnmap(a, r.bytes));
  OK(d.cuMemAddressFree(a, r.bytes));
}

CASE(a_descriptor_of_something_else_is_refused, ANY) {
  CUmemGenericAllocationHandle h;
  begin();
  granule();
  int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  CHECK(d.cuMemImportFromShareableHandle(&h, (void *)(intptr_t)fd,
                                         CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != CUDA_SUCCESS);
  close(fd);
  CHECK(d.cuMemImportFromShareableHandle(&h, (void *)(intptr_t)fd,
                                         CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != CUDA_SUCCESS);
}

CASE(memory_goes_with_the_last_that_holds_it, ACCOUNTING) {
  begin();
  size_t g = granule();
  struct region r = map_new(4 * g);
  CHECK(memory_used() == 4 * g);
  int fd = export_fd(r.handle), copy = dup(fd);
  OK(d.cuMemRelease(r.handle));
  CHECK(memory_used() == 4 * g); /* mapped, exported */
  OK(d.cuMemUnmap(r.address, r.bytes));
  CHECK(memory_used() == 4 * g); /* exported */
  close(fd);
  CHECK(memory_used() == 4 * g); /* a duplicate */
  CUmemGenericAllocationHandle h = import_fd(copy);
  close(copy);
  CHECK(memory_used() == 4 * g); /* a handle */
  OK(d.cuMemMap(r.address, r.bytes, 0, h, 0));
  OK(d.cuMemRelease(h));
  CHECK(memory_used() == 4 * g); /* a mapping */
  OK(d.cuMemUnmap(r.address, r.bytes));
  CHECK(memory_used() == 0);
  OK(d.cuMemAddressFree(r.address, r.bytes));
}

CASE(reserving_addresses_costs_no_memory, ACCOUNTING) {
  CUdeviceptr a;
  begin();
  OK(d.cuMemAddressReserve(&a, (size_t)1 << 36, 0, 0, 0));
  CHECK(memory_used() == 0);
  OK(d.cuMemAddressFree(a, (size_t)1 << 36));
}
