// PyTorch's CPU tensors by malloc, at multiples of 64 bytes.
//
// PyTorch calls posix_memalign, which in glibc before 2.38 never takes a freed block of just the size it needs: it looks
// for a larger one, to cut the aligned part out of. Tensors of the same few shapes, made and freed in turn, so leave
// holes that none of them fills.

#include <c10/core/CPUAllocator.h>

#include <cstdint>
#include <cstdlib>

namespace {

constexpr std::uintptr_t ALIGNMENT = 64;

// The pointer that malloc gave stands right before the aligned one, which is at least 16 bytes further.
void*& given(void* data) { return static_cast<void**>(data)[-1]; }

void release(void* data) {
  if (data == nullptr) return;
  c10::profiledCPUMemoryReporter().Delete(data);
  std::free(given(data));
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
    given(data) = block;
    c10::profiledCPUMemoryReporter().New(data, bytes);
    return data;
  }
};

}  // namespace

extern "C" void install() {
  static MallocAllocator* const allocator = new MallocAllocator;  // for good: tensors outlive every destructor
  c10::SetCPUAllocator(allocator, 1);
}
