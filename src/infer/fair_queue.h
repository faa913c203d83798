// A queue that serves its keys in turn, each by priority (low numbers first), then in order of
// arrival.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <list>
#include <string>
#include <utility>

namespace stepstone {

template <typename T>
class FairQueue {
 public:
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void push(const std::string& key, T item, int priority = 0) {
    auto turn = std::ranges::find(turns_, key, &Turn::key);
    if (turn == turns_.end()) turn = turns_.insert(turns_.end(), Turn{key, {}});
    auto& items = turn->items;
    items.insert(std::ranges::upper_bound(items, priority, {}, &Item::priority),
                 Item{std::move(item), priority});
    ++size_;
  }

  // The next in turn. Not when empty.
  T pop() {
    T item = std::move(turns_.front().items.front().value);
    turns_.front().items.pop_front();
    --size_;
    if (turns_.front().items.empty()) {
      turns_.pop_front();
    } else {
      turns_.splice(turns_.end(), turns_, turns_.begin());
    }
    return item;
  }

  // Takes out all that `take` is true for, in no particular order.
  template <typename Predicate>
  std::deque<T> extract(Predicate take) {
    std::deque<T> taken;
    for (auto turn = turns_.begin(); turn != turns_.end();) {
      auto& items = turn->items;
      const auto gone = std::stable_partition(items.begin(), items.end(),
                                              [&](const Item& item) { return !take(item.value); });
      for (auto item = gone; item != items.end(); ++item) taken.push_back(std::move(item->value));
      items.erase(gone, items.end());
      turn = items.empty() ? turns_.erase(turn) : std::next(turn);
    }
    size_ -= taken.size();
    return taken;
  }

 private:
  struct Item {
    T value;
    int priority;
  };
  struct Turn {
    std::string key;
    std::deque<Item> items;
  };
  std::list<Turn> turns_;
  std::size_t size_ = 0;
};

}  // namespace stepstone
