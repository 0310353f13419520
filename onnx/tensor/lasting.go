package tensor

import "unsafe"

// Lasting makes an array of zeros that will be read from end to end again and again, as
// weights are in each run. The system is asked to put large pages behind what of it was
// not in use before: a processor does not remember the places of all the small pages
// that hundreds of megabytes have, and one of Intel's Xeon 6 reads 64 MB in half the
// time with large ones. It is a wish; without it nothing changes but time.
func Lasting(n int) []float32 {
	array := make([]float32, n)
	if bytes := uintptr(n) * 4; bytes >= worthLarge {
		enlarge(uintptr(unsafe.Pointer(unsafe.SliceData(array))), bytes)
	}
	return array
}

// worthLarge is the size in bytes from which on arrays lie among others of their kind.
const worthLarge = 64 << 10
