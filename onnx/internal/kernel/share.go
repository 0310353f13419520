package kernel

import "sync/atomic"

// Share is Parallel for parts that need memory of their own to work in: do is
// told which lane it runs on, from 0 to Workers()-1, and no two parts run on one
// lane at the same time. The lane must not change the result.
func (o *On) Share(parts int, do func(lane, part int)) error {
	if parts <= 0 {
		return o.Err()
	}
	var next atomic.Int64
	return o.Parallel(min(o.Workers(), parts), func(lane int) {
		for o.Err() == nil {
			part := int(next.Add(1)) - 1
			if part >= parts {
				return
			}
			do(lane, part)
		}
	})
}
