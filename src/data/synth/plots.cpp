#include "data/synth/plots.h"

#include "data/synth/plots_en.h"
#include "data/synth/plots_zh.h"

namespace stepstone::synth {

const std::vector<Plot>& plots(Language language) {
  static const std::vector<Plot> en = english_plots();
  static const std::vector<Plot> zh = chinese_plots();
  return language == Language::en ? en : zh;
}

}  // namespace stepstone::synth
