"""Road-sign scenes drawn with OpenCV: data to train and test on, a moving camera to run on, and a trained checkpoint."""
