import setup = require('./global-setup.js');

export default setup;
