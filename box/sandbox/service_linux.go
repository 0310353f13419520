package sandbox

// runs reports whether the keeper has not ended yet.
func (k *keeper) runs() bool {
	select {
	case <-k.gone:
		return false
	default:
		return true
	}
}
