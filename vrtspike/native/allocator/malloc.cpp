// Allocates PyTorch's CPU tensors with malloc, aligned to 64 bytes.
//
// PyTorch calls posix_memalign. In glibc before 2.38 it never reuses a freed block of exactly the needed size, but looks
// for a larger one and cuts the aligned part out of it. If tensors of the same few shapes are allocated and freed again
// and again, this leaves holes that none of them fits into.

#include <c10/core/CPUAllocator.h>
#include <pthread.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>

namespace {

constexpr std::uintptr_t ALIGNMENT = 64;

constexpr size_t LARGEST_KEPT = 1 << 20, MOST_KEPT = 64 << 20;  // bytes of one block and of all

// What stands right before the aligned data, which starts at least 16 bytes after the beginning of the block.
struct Header {
  void* block;   // from malloc
  size_t bytes;  // of the data, rounded up to the alignment
};
static_assert(sizeof(Header) == 16);

Header& header_of(void* data) { return static_cast<Header*>(data)[-1]; }

// Freed blocks by size. Each begins with the address of the next one.
class FreeBlocks {
  void* first[LARGEST_KEPT / ALIGNMENT + 1] = {};
  size_t kept = 0;

 public:
  std::mutex mutex;

  void* take(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex);
    void*& head = first[bytes / ALIGNMENT];
    void* const data = head;
    if (data != nullptr) {
      head = *static_cast<void**>(data);
      kept -= bytes;
    }
    return data;
  }

  // Returns whether there was room for it.
  bool keep(void* data, size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (kept + bytes > MOST_KEPT) return false;
    void*& head = first[bytes / ALIGNMENT];
    *static_cast<void**>(data) = head;
    head = data;
    kept += bytes;
    return true;
  }

  void free_all() {
    const std::lock_guard<std::mutex> lock(mutex);
    for (void*& head : first)
      while (head != nullptr) {
        void* const data = head;
        head = *static_cast<void**>(data);
        std::free(header_of(data).block);
      }
    kept = 0;
  }
};

FreeBlocks& free_blocks() {
  static FreeBlocks* const blocks = new FreeBlocks;  // never deleted: tensors outlive every destructor
  return *blocks;
}

void release(void* data) {
  if (data == nullptr) return;
  c10::profiledCPUMemoryReporter().Delete(data);
  const Header header = header_of(data);
  if (header.bytes <= LARGEST_KEPT && free_blocks().keep(data, header.bytes)) return;
  std::free(header.block);
}

class MallocAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* const data = bytes == 0 ? nullptr : aligned(bytes);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  static void* aligned(size_t bytes) {
    const size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void* data = rounded <= LARGEST_KEPT ? free_blocks().take(rounded) : nullptr;
    if (data == nullptr) data = from_malloc(bytes, rounded);
    c10::profiledCPUMemoryReporter().New(data, bytes);
    return data;
  }

  static void* from_malloc(size_t bytes, size_t rounded) {
    void* const block = rounded < bytes || rounded > SIZE_MAX - ALIGNMENT ? nullptr : std::malloc(rounded + ALIGNMENT);
    if (block == nullptr) {
      c10::profiledCPUMemoryReporter().OutOfMemory(bytes);
      TORCH_CHECK(false, "MallocAllocator: can't allocate memory: you tried to allocate ", bytes, " bytes");
    }
    const auto after = reinterpret_cast<std::uintptr_t>(block) + ALIGNMENT;
    void* const data = reinterpret_cast<void*>(after - after % ALIGNMENT);
    header_of(data) = {block, rounded};
    return data;
  }
};

}  // namespace

extern "C" void install() {
  static MallocAllocator* const allocator = new MallocAllocator;  // never deleted: tensors outlive every destructor
  c10::SetCPUAllocator(allocator, 1);
  // A process that is forked while another thread holds the mutex would wait for it for ever.
  const auto unlock = [] { free_blocks().mutex.unlock(); };
  static const int registered = pthread_atfork([] { free_blocks().mutex.lock(); }, unlock, unlock);
  (void)registered;
}

extern "C" void give_back() { free_blocks().free_all(); }
