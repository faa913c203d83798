#include "data/synth/world.h"

#include <fmt/format.h>

#include "core/error.h"
#include "data/synth/text.h"

namespace stepstone::synth {

const std::vector<Person>& all_people() {
  static const std::vector<Person> people = {
      {"Anna", "安娜", true},    {"Ben", "小本", false},    {"Clara", "可儿", true},
      {"David", "大卫", false},  {"Emma", "艾玛", true},    {"Frank", "小凡", false},
      {"Grace", "小雅", true},   {"Henry", "亨利", false},  {"Ivy", "小艾", true},
      {"Jack", "杰克", false},   {"Kate", "凯特", true},    {"Leo", "乐乐", false},
      {"Lily", "丽丽", true},    {"Max", "小明", false},    {"Mia", "米娅", true},
      {"Nick", "尼克", false},   {"Nina", "妮娜", true},    {"Oscar", "阳阳", false},
      {"Rose", "小红", true},    {"Paul", "保罗", false},   {"Sara", "莎拉", true},
      {"Sam", "山姆", false},    {"Tina", "婷婷", true},    {"Tom", "汤姆", false},
      {"Amy", "小美", true},     {"Bob", "小宝", false},    {"Cindy", "欣欣", true},
      {"Daniel", "冬冬", false}, {"Ella", "小兰", true},    {"Fred", "小飞", false},
      {"Helen", "海伦", true},   {"Jim", "吉姆", false},    {"Wendy", "文文", true},
      {"Victor", "小伟", false}, {"Linda", "琳达", true},   {"Peter", "彼得", false},
      {"Julia", "朱莉", true},   {"Mark", "马克", false},   {"Lucy", "露西", true},
      {"Kevin", "凯文", false},  {"Molly", "茉莉", true},   {"Eric", "小瑞", false},
      {"Betty", "贝蒂", true},   {"George", "乔治", false}, {"Alice", "小丽", true},
      {"Adam", "亚当", false},   {"Susan", "苏珊", true},   {"Simon", "西蒙", false},
      {"Vera", "薇薇", true},    {"Roger", "小龙", false},  {"Mary", "玛丽", true},
      {"Robert", "小波", false}, {"Nora", "诺拉", true},    {"Tony", "托尼", false},
      {"Olga", "小鸽", true},    {"Philip", "小强", false}, {"Diana", "黛安", true},
      {"Carl", "卡尔", false},   {"Irene", "依依", true},   {"Hugo", "雨果", false},
      {"Judy", "朱迪", true},    {"Gary", "加里", false},   {"Flora", "花花", true},
      {"Edward", "爱德", false}, {"Iris", "小鸢", true},    {"Martin", "马丁", false},
      {"Hannah", "汉娜", true},  {"Oliver", "小奥", false}, {"Kelly", "凯莉", true},
      {"Ryan", "小然", false},   {"Laura", "劳拉", true},   {"Scott", "小石", false},
  };
  return people;
}

int people_of_level(int level) { return level == 0 ? 24 : level == 1 ? 40 : 72; }

const std::vector<Value>& values_of(Attribute attribute) {
  static const std::vector<Value> homes = {
      {"Oakton", "橡树镇", "Oakton", "橡树镇"},
      {"Redhill", "红山镇", "Redhill", "红山镇"},
      {"Lakeside", "湖边村", "Lakeside", "湖边村"},
      {"Sandbay", "沙湾", "Sandbay", "沙湾"},
      {"Greenfield", "青田村", "Greenfield", "青田村"},
      {"Stonebridge", "石桥镇", "Stonebridge", "石桥镇"},
      {"Millbrook", "磨坊镇", "Millbrook", "磨坊镇"},
      {"Snowpeak", "雪峰村", "Snowpeak", "雪峰村"},
  };
  static const std::vector<Value> jobs = {
      {"a teacher", "老师", "teacher", "老师"}, {"a doctor", "医生", "doctor", "医生"},
      {"a baker", "面包师", "baker", "面包师"}, {"a farmer", "农民", "farmer", "农民"},
      {"a driver", "司机", "driver", "司机"},   {"a painter", "画家", "painter", "画家"},
      {"a singer", "歌手", "singer", "歌手"},   {"a cook", "厨师", "cook", "厨师"},
  };
  static const std::vector<Value> pets = {
      {"a cat", "一只猫", "cat", "猫"},           {"a dog", "一只狗", "dog", "狗"},
      {"a rabbit", "一只兔子", "rabbit", "兔子"}, {"a bird", "一只小鸟", "bird", "小鸟"},
      {"a horse", "一匹马", "horse", "马"},       {"a goat", "一只山羊", "goat", "山羊"},
      {"a duck", "一只鸭子", "duck", "鸭子"},     {"a turtle", "一只乌龟", "turtle", "乌龟"},
  };
  static const std::vector<Value> colors = {
      {"red", "红色", "red", "红色"},       {"blue", "蓝色", "blue", "蓝色"},
      {"green", "绿色", "green", "绿色"},   {"yellow", "黄色", "yellow", "黄色"},
      {"white", "白色", "white", "白色"},   {"black", "黑色", "black", "黑色"},
      {"purple", "紫色", "purple", "紫色"}, {"pink", "粉色", "pink", "粉色"},
  };
  static const std::vector<Value> foods = {
      {"noodles", "面条", "noodles", "面条"}, {"rice", "米饭", "rice", "米饭"},
      {"soup", "汤", "soup", "汤"},           {"bread", "面包", "bread", "面包"},
      {"cake", "蛋糕", "cake", "蛋糕"},       {"dumplings", "饺子", "dumplings", "饺子"},
      {"eggs", "鸡蛋", "eggs", "鸡蛋"},       {"pizza", "披萨", "pizza", "披萨"},
  };
  static const std::vector<Value> hobbies = {
      {"swimming", "游泳", "swimming", "游泳"}, {"reading", "看书", "reading", "看书"},
      {"dancing", "跳舞", "dancing", "跳舞"},   {"running", "跑步", "running", "跑步"},
      {"fishing", "钓鱼", "fishing", "钓鱼"},   {"drawing", "画画", "drawing", "画画"},
      {"hiking", "爬山", "hiking", "爬山"},     {"chess", "下棋", "chess", "下棋"},
  };
  static const std::vector<Value> none;
  switch (attribute) {
    case Attribute::home:
      return homes;
    case Attribute::job:
      return jobs;
    case Attribute::pet:
      return pets;
    case Attribute::color:
      return colors;
    case Attribute::food:
      return foods;
    case Attribute::hobby:
      return hobbies;
    case Attribute::friend_:
    case Attribute::age:
      return none;
  }
  throw Error("no such attribute");
}

World::World(std::uint64_t seed, int level)
    : people_(people_of_level(level)),
      attributes_(level == 0 ? 6 : kAttributes),
      values_(static_cast<std::size_t>(people_) * kAttributes) {
  Random random(seed, /*stream=*/0x776f726c64);
  for (int p = 0; p < people_; ++p) {
    for (int a = 0; a < kAttributes; ++a) {
      const auto attribute = static_cast<Attribute>(a);
      int value = 0;
      if (attribute == Attribute::friend_) {
        value = (p + 1 + static_cast<int>(random.below(static_cast<std::uint64_t>(people_) - 1))) %
                people_;  // anybody but oneself
      } else if (attribute == Attribute::age) {
        value = between(18, 60, random);
      } else {
        value = static_cast<int>(random.below(values_of(attribute).size()));
      }
      values_[static_cast<std::size_t>(p * kAttributes + a)] = value;
    }
  }
}

std::string World::text(int person, Attribute attribute, Language language) const {
  const int index = value(person, attribute);
  if (attribute == Attribute::friend_) return std::string(this->person(index).name(language));
  if (attribute == Attribute::age) return fmt::format("{}", index);
  const Value& v = values_of(attribute)[static_cast<std::size_t>(index)];
  return std::string(language == Language::en ? v.en : v.zh);
}

std::string World::bare(int person, Attribute attribute, Language language) const {
  const int index = value(person, attribute);
  if (attribute == Attribute::friend_ || attribute == Attribute::age) {
    return text(person, attribute, language);
  }
  const Value& v = values_of(attribute)[static_cast<std::size_t>(index)];
  return std::string(language == Language::en ? v.en_bare : v.zh_bare);
}

}  // namespace stepstone::synth
