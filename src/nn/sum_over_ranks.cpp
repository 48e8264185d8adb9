// A sum over ranks that libtorch can differentiate: tch has no function of its own making in the graph.
#include <torch/csrc/autograd/custom_function.h>

#include <stdexcept>

namespace {

// Replaces the values by their sums over the ranks; 0 where that worked.
using Sum = int (*)(double *values, size_t count);

at::Tensor summed(const at::Tensor &x, Sum sum) {
  auto values = x.to(at::kCPU, at::kDouble).contiguous().clone();
  if (sum(values.data_ptr<double>(), values.numel()) != 0) throw std::runtime_error("summing over the ranks failed");
  return values.to(x.options());
}

// y = sum of x over the ranks, on every rank. The loss is a sum over the ranks, too, and each rank's part of it depends on y:
// the gradient of x is the sum over the ranks of the gradients of y.
struct SumOverRanks : torch::autograd::Function<SumOverRanks> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x, int64_t sum) {
    context->saved_data["sum"] = sum;
    return summed(x, reinterpret_cast<Sum>(sum));
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    auto sum = reinterpret_cast<Sum>(context->saved_data["sum"].toInt());
    return {summed(gradients[0], sum), at::Tensor()};
  }
};

}  // namespace

// Null where it failed.
extern "C" at::Tensor *covid_ct_sum_over_ranks(const at::Tensor *x, Sum sum) {
  try {
    return new at::Tensor(SumOverRanks::apply(*x, reinterpret_cast<int64_t>(sum)));
  } catch (const std::exception &) {
    return nullptr;
  }
}
