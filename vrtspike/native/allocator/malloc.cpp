// Allocates PyTorch's CPU tensors with malloc, aligned to 64 bytes.
//
// PyTorch calls posix_memalign. In glibc before 2.38 it never reuses a freed block of exactly the needed size, but looks
// for a larger one and cuts the aligned part out of it. If tensors of the same few shapes are allocated and freed again
// and again, this leaves holes that none of them fits into.

#include <c10/core/CPUAllocator.h>

#include <cstdint>
#include <cstdlib>

namespace {

constexpr std::uintptr_t ALIGNMENT = 64;

// The pointer from malloc is stored right before the aligned block, which starts at least 16 bytes after it.
void*& block_of(void* data) { return static_cast<void**>(data)[-1]; }

void release(void* data) {
  if (data == nullptr) return;
  c10::profiledCPUMemoryReporter().Delete(data);
  std::free(block_of(data));
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
    void* const block = bytes > SIZE_MAX - ALIGNMENT ? nullptr : std::malloc(bytes + ALIGNMENT);
    if (block == nullptr) {
      c10::profiledCPUMemoryReporter().OutOfMemory(bytes);
      TORCH_CHECK(false, "MallocAllocator: can't allocate memory: you tried to allocate ", bytes, " bytes");
    }
    const auto after = reinterpret_cast<std::uintptr_t>(block) + ALIGNMENT;
    void* const data = reinterpret_cast<void*>(after - after % ALIGNMENT);
    block_of(data) = block;
    c10::profiledCPUMemoryReporter().New(data, bytes);
    return data;
  }
};

}  // namespace

extern "C" void install() {
  static MallocAllocator* const allocator = new MallocAllocator;  // never deleted: tensors outlive every destructor
  c10::SetCPUAllocator(allocator, 1);
}
