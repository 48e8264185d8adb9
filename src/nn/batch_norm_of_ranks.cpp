// Batch norm with the statistics of a batch that several ranks share, and its gradients: tch cannot define functions for
// libtorch's autograd. Values are read as often as by libtorch's own batch norm, and once more in the backward pass.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Replaces the values, on the GPU or in main memory, by their sums over the ranks; null where that worked, else why not, by malloc.
using Sum = char *(*)(double *values, size_t count, int on_gpus);

// A tensor's sums over the ranks, in f64.
Tensor summed(const Tensor &parts, Sum sum, bool on_gpus) {
  auto values = parts.to(on_gpus ? parts.device() : at::Device(at::kCPU), at::kDouble).contiguous();
  if (char *failed = sum(values.data_ptr<double>(), values.numel(), on_gpus)) {
    const std::string why = failed;
    std::free(failed);
    throw std::runtime_error("the sum over the ranks failed: " + why);
  }
  return values;
}

// scale · x + shift, each [C]: libtorch's batch norm with a mean of 0 and a deviation of 1.
Tensor scaled(const Tensor &x, const Tensor &scale, const Tensor &shift) {
  return std::get<0>(at::native_batch_norm(x, scale, shift, at::zeros_like(scale), at::ones_like(scale), false, 0.0, 0.0));
}

struct BatchNormOfRanks : torch::autograd::Function<BatchNormOfRanks> {
  // Of x [N, C, …], a share of a batch with so many places in each channel: y, and mean and variance [C] of the whole batch.
  static variable_list forward(AutogradContext *context, const Tensor &x, const Tensor &weight, const Tensor &bias, double epsilon,
                               int64_t places, int64_t sum, bool on_gpus) {
    const int64_t channels = x.size(1), own = x.numel() / channels;
    auto sums = at::zeros({2, channels}, x.options().dtype(at::kDouble));
    if (own > 0) {
      // What libtorch's own batch norm calls: a tenth of the time of at::var_mean.
      auto [mean, variance] = at::batch_norm_update_stats(x, {}, {}, 0.0);
      auto centre = mean.to(at::kDouble);
      sums = at::stack({centre, variance.to(at::kDouble) + centre.square()}) * static_cast<double>(own);
    }
    const double count = static_cast<double>(places);
    auto of_all = summed(sums, reinterpret_cast<Sum>(sum), on_gpus) / count;
    auto centre = of_all[0], spread = (of_all[1] - of_all[0].square()).clamp_min(0.0);
    auto inverse = (spread + epsilon).rsqrt().to(x.device(), at::kFloat);
    auto mean = centre.to(x.device(), at::kFloat), variance = spread.to(x.device(), at::kFloat);
    auto scale = weight * inverse;
    auto y = own > 0 ? scaled(x, scale, bias - mean * scale) : at::empty_like(x);
    context->save_for_backward({x, weight, mean, inverse});
    context->saved_data["count"] = count;
    context->saved_data["sum"] = sum;
    context->saved_data["on_gpus"] = on_gpus;
    context->mark_non_differentiable({mean, variance});
    return {y, mean, variance};
  }

  // dx = weight / deviation · (dy - mean(dy) - x̂ · mean(dy · x̂)), the means over the whole batch; the gradients of weight and bias
  // are this rank's part.
  static variable_list backward(AutogradContext *context, variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto x = saved[0], weight = saved[1], mean = saved[2], inverse = saved[3], dy = gradients[0];
    const double count = context->saved_data["count"].toDouble();
    auto of_weight = at::zeros_like(weight), of_bias = at::zeros_like(weight);
    if (x.numel() > 0) {
      auto variance = inverse.pow(-2);
      auto parts = at::native_batch_norm_backward(dy, x, weight, mean, variance, {}, {}, false, 0.0, {false, true, true});
      of_weight = std::get<1>(parts);
      of_bias = std::get<2>(parts);
    }
    auto sum = reinterpret_cast<Sum>(context->saved_data["sum"].toInt());
    const bool on_gpus = context->saved_data["on_gpus"].toBool();
    auto means = (summed(at::stack({of_bias, of_weight}), sum, on_gpus) / count).to(x.device(), at::kFloat);
    auto scale = weight * inverse, slope = -scale * inverse * means[1];
    auto dx = at::empty_like(x);
    if (x.numel() > 0) {
      std::vector<int64_t> by_channel(x.dim(), 1);
      by_channel[1] = -1;
      dx = scaled(x, slope, -scale * means[0] - slope * mean).addcmul_(dy, scale.view(by_channel));
    }
    return {dx, of_weight, of_bias, Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

// Fills `out` with y, mean and variance; returns null where that worked, else why not, until this thread calls it again.
extern "C" const char *covid_ct_batch_norm_of_ranks(const Tensor *x, const Tensor *weight, const Tensor *bias, double epsilon,
                                                    int64_t places, Sum sum, int on_gpus, Tensor **out) {
  static thread_local std::string why;
  try {
    auto results =
        BatchNormOfRanks::apply(*x, *weight, *bias, epsilon, places, reinterpret_cast<int64_t>(sum), on_gpus != 0);
    for (size_t i = 0; i < 3; ++i) out[i] = new Tensor(results[i]);
    return nullptr;
  } catch (const std::exception &error) {
    why = error.what();
    return why.c_str();
  }
}
