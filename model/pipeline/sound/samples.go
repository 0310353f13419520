package sound

import (
	"context"
	"fmt"
)

// block is how many samples are made between two looks at the context: less than a
// millisecond of work, unless weights have to be made as well.
const block = 256

// Length is how many samples [Recording.Samples] makes at a rate, which is 8,000 to
// 192,000 a second.
func (r *Recording) Length(rate int) int64 {
	up, down := ratio(r.format.rate, rate)
	return (r.frames*up + down - 1) / down
}

// Samples makes one channel of the recording, the mean of all, with so many samples a
// second. It takes 4 bytes for each, and little more.
func (r *Recording) Samples(ctx context.Context, rate int) ([]float32, error) {
	if rate < minRate || rate > maxRate {
		return nil, fmt.Errorf("sound: %d samples a second wanted, expected %d to %d", rate, minRate, maxRate)
	}
	out := make([]float32, r.Length(rate))
	fill := func(first int) error { return r.mix(out[first:min(first+block, len(out))], int64(first)) }
	if rate != r.format.rate {
		f := newFilter(r.format.rate, rate)
		fill = func(first int) error { return f.fill(out[first:min(first+block, len(out))], int64(first), r.mix) }
	}
	for first := 0; first < len(out); first += block {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := fill(first); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// mix writes the mean of all channels from a frame on; frames before and after the
// recording are silent.
func (r *Recording) mix(dst []float32, first int64) error {
	frame, size := int64(r.format.frame()), r.format.bits/8
	var buf [maxChannels * 8]byte
	for i := range dst {
		at := first + int64(i)
		if at < 0 || at >= r.frames {
			dst[i] = 0
			continue
		}
		b := buf[:copy(buf[:frame], r.data[at*frame:])]
		var sum float32
		for ; len(b) > 0; b = b[size:] {
			sum += r.format.value(b)
		}
		dst[i] = sum / float32(r.format.channels)
		if r.format.floating && dst[i]-dst[i] != 0 {
			return fmt.Errorf("a recording whose sample %d is not finite: it is no sound", at)
		}
	}
	return nil
}
