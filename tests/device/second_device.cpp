// A second device whose memory is the host's, but which torch keeps apart: what mixes devices, or reads a tensor of the device as an array, fails on it as it does on a card.
// Operators run on the CPU, so that recordings on it are those of the host, bit for bit; copies that a program asks for are counted.
#include <ATen/EmptyTensor.h>
#include <ATen/Tensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_local_scalar_dense_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>

namespace {
constexpr auto SECOND = c10::DeviceType::PrivateUse1;
const c10::DispatchKeySet KEYS(c10::DispatchKey::PrivateUse1);

// Copies between the devices, numbers that were read one by one, and operators; those within an operator are not counted.
enum Kind { TO_HOST, TO_DEVICE, NUMBER, OPERATOR, N_KINDS };
std::atomic<int64_t> counts[N_KINDS];
thread_local int inside = 0;

struct Inside {
  Inside() { ++inside; }
  ~Inside() { --inside; }
};

int64_t count(int64_t kind) { return counts[kind].exchange(0); }

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    void* memory = n ? std::malloc(n) : nullptr;
    return {memory, memory, &std::free, c10::Device(SECOND, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, std::size_t n) const override { default_copy_data(to, from, n); }
};
Allocator allocator;
REGISTER_ALLOCATOR(SECOND, &allocator);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return SECOND; }
  c10::Device exchangeDevice(c10::Device) const override { return getDevice(); }
  c10::Device getDevice() const override { return c10::Device(SECOND, 0); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, getDevice()); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

at::Tensor on_host(const at::Tensor& x) {
  if (x.device().type() != SECOND) return x;
  auto memory = const_cast<void*>(x.storage().data());
  auto n = static_cast<int64_t>(x.storage().nbytes() / x.element_size());
  auto flat = at::from_blob(memory, {n}, at::TensorOptions().dtype(x.dtype()).device(at::kCPU));
  auto view = flat.as_strided(x.sizes(), x.strides(), x.storage_offset());
  return x.is_neg() ? view.neg() : view;
}

at::Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>, std::optional<c10::Device>, std::optional<bool>,
                 std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator, KEYS, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                         std::optional<c10::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator, KEYS, c10::dtype_or_default(dtype));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  if (!inside && from.device() != to.device()) ++counts[from.device().type() == SECOND ? TO_HOST : TO_DEVICE];
  on_host(to).copy_(on_host(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  at::native::resize_(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

at::Scalar number(const at::Tensor& x) {
  if (!inside) ++counts[NUMBER];
  return at::native::_local_scalar_dense_cpu(on_host(x));
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, at::SymIntArrayRef stride,
                       at::SymIntArrayRef padding, at::SymIntArrayRef dilation, bool transposed, at::SymIntArrayRef output_padding, c10::SymInt groups) {
  Inside here;
  auto host_bias = bias.has_value() && bias->defined() ? std::optional<at::Tensor>(bias->cpu()) : std::nullopt;
  return at::convolution_symint(x.cpu(), weight.cpu(), host_bias, stride, padding, dilation, transposed, output_padding, groups).to(x.device());
}

at::Tensor& set_tensor(at::Tensor& x, const at::Tensor& source) { return at::native::set_tensor_(x, source); }
at::Tensor& set_storage(at::Tensor& x, at::Storage source) { return at::native::set_(x, source); }
at::Tensor& set_strided(at::Tensor& x, at::Storage source, int64_t offset, c10::IntArrayRef size, c10::IntArrayRef stride) {
  return at::native::set_storage_cpu_(x, source, offset, size, stride);
}

void on_the_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  Inside here;
  ++counts[OPERATOR];
  at::native::cpu_fallback(op, stack);
}
}  // namespace

TORCH_LIBRARY(second_device, m) { m.def("count", count); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("resize_", at::native::resize_);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("view", at::native::view);
  m.impl("unfold", at::native::unfold);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", number);
  m.impl("convolution_overrideable", convolution);
  m.impl("set_.source_Tensor", set_tensor);
  m.impl("set_.source_Storage", set_storage);
  m.impl("set_.source_Storage_storage_offset", set_strided);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>()); }
TORCH_LIBRARY_IMPL(_, AutogradPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
