// Batch norm with the statistics of a batch that is divided into shares, of which this process has one or more and other ranks
// the rest, and its gradients: tch cannot define functions for libtorch's autograd. Values are read as often as by libtorch's own batch norm, and once more in the backward pass.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// How values are added up: in main memory, there in the order of the shares, or on GPUs.
enum How { kOnHost, kInOrder, kOnGpus };

// Replaces the values by their sums over the ranks; null where that worked, else why not, by malloc.
using Sum = char *(*)(double *values, size_t count, int how);

// The sum of what each share has: of pairs, of pairs of pairs, and so on, as ranks add up in order.
Tensor of_shares(std::vector<Tensor> parts) {
  for (; parts.size() > 1; parts.resize((parts.size() + 1) / 2))
    for (size_t i = 0; i < parts.size(); i += 2) parts[i / 2] = i + 1 < parts.size() ? parts[i] + parts[i + 1] : parts[i];
  return parts[0];
}

// A tensor's sums over the ranks, in f64.
Tensor summed(const Tensor &parts, Sum sum, int64_t how) {
  auto values = parts.to(how == kOnGpus ? parts.device() : at::Device(at::kCPU), at::kDouble).contiguous();
  if (char *failed = sum(values.data_ptr<double>(), values.numel(), static_cast<int>(how))) {
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
  // Of xs [N, C, …], shares of a batch with so many places in each channel: a y for each, and mean and variance [C] of the whole
  // batch.
  static variable_list forward(AutogradContext *context, at::TensorList xs, const Tensor &weight, const Tensor &bias, double epsilon,
                               int64_t places, int64_t sum, int64_t how) {
    const int64_t channels = weight.numel();
    std::vector<Tensor> sums;
    for (const auto &x : xs) {
      sums.push_back(at::zeros({2, channels}, x.options().dtype(at::kDouble)));
      const int64_t own = x.numel() / channels;
      if (own == 0) continue;
      // What libtorch's own batch norm calls: a tenth of the time of at::var_mean.
      auto [mean, variance] = at::batch_norm_update_stats(x, {}, {}, 0.0);
      auto centre = mean.to(at::kDouble);
      sums.back() = at::stack({centre, variance.to(at::kDouble) + centre.square()}) * static_cast<double>(own);
    }
    const double count = static_cast<double>(places);
    auto of_all = summed(of_shares(sums), reinterpret_cast<Sum>(sum), how) / count;
    auto centre = of_all[0], spread = (of_all[1] - of_all[0].square()).clamp_min(0.0);
    const auto device = weight.device();
    auto inverse = (spread + epsilon).rsqrt().to(device, at::kFloat);
    auto mean = centre.to(device, at::kFloat), variance = spread.to(device, at::kFloat);
    auto scale = weight * inverse, shift = bias - mean * scale;
    variable_list kept = {weight, mean, inverse}, out;
    for (const auto &x : xs) {
      out.push_back(x.numel() > 0 ? scaled(x, scale, shift) : at::empty_like(x));
      kept.push_back(x);
    }
    context->save_for_backward(kept);
    context->saved_data["count"] = count;
    context->saved_data["sum"] = sum;
    context->saved_data["how"] = how;
    context->mark_non_differentiable({mean, variance});
    out.insert(out.end(), {mean, variance});
    return out;
  }

  // dx = weight / deviation · (dy - mean(dy) - x̂ · mean(dy · x̂)), the means over the whole batch; the gradients of weight and bias
  // are those of this process's shares.
  static variable_list backward(AutogradContext *context, variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto weight = saved[0], mean = saved[1], inverse = saved[2];
    const variable_list xs(saved.begin() + 3, saved.end());
    const double count = context->saved_data["count"].toDouble();
    auto variance = inverse.pow(-2);
    std::vector<Tensor> of_each, exact;
    for (size_t i = 0; i < xs.size(); ++i) {
      of_each.push_back(at::zeros({2, weight.numel()}, weight.options()));
      if (xs[i].numel() > 0) {
        auto parts =
            at::native_batch_norm_backward(gradients[i], xs[i], weight, mean, variance, {}, {}, false, 0.0, {false, true, true});
        of_each.back() = at::stack({std::get<2>(parts), std::get<1>(parts)});
      }
      exact.push_back(of_each.back().to(at::kDouble));
    }
    // The parameters' gradients are added up over the ranks in f32, with all others; these in f64.
    auto own = of_shares(of_each);
    auto sum = reinterpret_cast<Sum>(context->saved_data["sum"].toInt());
    auto means = (summed(of_shares(exact), sum, context->saved_data["how"].toInt()) / count).to(weight.device(), at::kFloat);
    auto scale = weight * inverse, slope = -scale * inverse * means[1], shift = -scale * means[0] - slope * mean;
    variable_list out;
    for (size_t i = 0; i < xs.size(); ++i) {
      const auto &x = xs[i];
      std::vector<int64_t> by_channel(x.dim(), 1);
      by_channel[1] = -1;
      out.push_back(x.numel() > 0 ? scaled(x, slope, shift).addcmul_(gradients[i], scale.view(by_channel)) : at::empty_like(x));
    }
    out.insert(out.end(), {own[1], own[0], Tensor(), Tensor(), Tensor(), Tensor()});
    return out;
  }
};

}  // namespace

// Fills `out` with a y for each of `count` shares, mean and variance; returns null where that worked, else why not, until this
// thread calls it again.
extern "C" const char *covid_ct_batch_norm_of_ranks(const Tensor *const *xs, size_t count, const Tensor *weight, const Tensor *bias,
                                                    double epsilon, int64_t places, Sum sum, int how, Tensor **out) {
  static thread_local std::string why;
  try {
    variable_list shares;
    for (size_t i = 0; i < count; ++i) shares.push_back(*xs[i]);
    auto results = BatchNormOfRanks::apply(at::TensorList(shares), *weight, *bias, epsilon, places, reinterpret_cast<int64_t>(sum),
                                           static_cast<int64_t>(how));
    for (size_t i = 0; i < results.size(); ++i) out[i] = new Tensor(results[i]);
    return nullptr;
  } catch (const std::exception &error) {
    why = error.what();
    return why.c_str();
  }
}
