import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { createServices, ServicesContext } from './services';
import './styles/base.css';

const root = document.getElementById('root');
if (root === null) throw new Error('index.html has no #root');

const services = createServices();
services.live.start();
window.addEventListener('beforeunload', (event) => {
  if (services.uploads.busy) event.preventDefault();
});

createRoot(root).render(
  <StrictMode>
    <ServicesContext value={services}>
      <App />
    </ServicesContext>
  </StrictMode>,
);
