"""Find the humanoid in a source skeleton: joint names, units, T-pose, retargeting."""
